select
    cast(id as integer) as id,
    cast(kind as {{ dbt.type_string() }}) as kind,
    cast(amount as decimal(18, 2)) as amount,
    cast(code as {{ dbt.type_string() }}) as code
from (
    values
    (1, 'a', 10, 'AB-1'),
    (2, 'a', 20, 'ab-2'),
    (3, 'b', 30, 'AB.3'),
    (3, 'b', null, null),
    (null, 'it''s', -5, 'x'),
    (null, null, 100, 'AB-1')
) as rows_of_samples (id, kind, amount, code)
