select
    cast(label as {{ dbt.type_string() }}) as label,
    cast(total as decimal(18, 2)) as total
from (
    values
    ('a', 10),
    ('a', 25),
    ('b', 30),
    ('c', 7),
    (null, 100)
) as rows_of_others (label, total)
