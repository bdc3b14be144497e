select *
from {{ ref('samples') }}
union all
select *
from {{ ref('samples') }}
