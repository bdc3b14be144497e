{#- Fails if the newest file of a feed, by its path, has far fewer or far more rows than those before it have on
    average. -#}
{% test volume_is_usual(model, feed, loads=7, least_share=0.5, most_share=2) %}
-- depends_on: {{ model }}
with files as (

    select
        source_file,
        received_rows,
        row_number() over (order by source_file desc) as place
    from {{ ref('load_ledger') }}
    where {{ lets_through('verdict') }} and {{ of_feed(feed) }}

),

usual as (

    select
        count(*) as files,
        avg(received_rows) as rows_a_file
    from files
    where place between 2 and {{ loads + 1 }}

)

select
    files.source_file,
    files.received_rows,
    usual.rows_a_file as usual_rows,
    usual.files as files_compared
from files
cross join usual
where
    files.place = 1
    and (
        files.received_rows < {{ least_share }} * usual.rows_a_file
        or files.received_rows > {{ most_share }} * usual.rows_a_file
    )
{% endtest %}
