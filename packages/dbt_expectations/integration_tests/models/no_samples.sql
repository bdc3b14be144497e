select *
from {{ ref('samples') }}
where 1 = 0
