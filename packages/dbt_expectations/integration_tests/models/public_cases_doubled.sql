select
    1 as factor,
    *
from {{ ref('public_cases') }}
union all
select
    2 as factor,
    *
from {{ ref('public_cases') }}
