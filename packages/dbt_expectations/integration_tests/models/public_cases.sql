select
    cast(idx as integer) as idx,
    cast(day as {{ dbt.type_string() }}) as day,
    cast(share as {{ dbt.type_float() }}) as share,
    cast(rest as {{ dbt.type_float() }}) as rest,
    cast(letter as {{ dbt.type_string() }}) as letter,
    cast(letters as {{ dbt.type_string() }}) as letters,
    cast(null as {{ dbt.type_string() }}) as nothing,
    cast(null as {{ dbt.type_string() }}) as nothing_too,
    cast(email as {{ dbt.type_string() }}) as email,
    cast(postcode as {{ dbt.type_string() }}) as postcode
from (
    values
    (1, '2024-03-01', 0.0, 1.0, 'a', 'z', 'me@example.com', '10115'),
    (2, '2024-03-02', 1.0, 0.0, 'b', 'zy', 'me@example.org', '80331'),
    (3, '2024-03-03', 0.5, 0.5, 'c', 'zyx', 'you@mail.example.com', '20095'),
    (4, '2024-03-03', 0.5, 0.5, 'c', 'zyxw', 'you.too@example.com', '01067')
) as rows_of_cases (idx, day, share, rest, letter, letters, email, postcode)
