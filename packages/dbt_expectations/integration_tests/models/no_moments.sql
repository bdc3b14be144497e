select *
from {{ ref('moments') }}
where 1 = 0
