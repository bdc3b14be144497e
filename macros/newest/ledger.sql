{#- The ledger before the rows move: the other files whose rows are overtaken or come back, the files that arrive, the
    files that are held. -#}
{% macro write_ledger(feed, plan) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') -%}
    {%- set held_of = of_feed(feed) if plan.anew else of_run(feed) %}
update {{ ledger }}
set
    current_rows = current_rows + moved.difference,
    superseded_rows = superseded_rows - moved.difference
from (
    select file, sum(difference) as difference
    from (
        select file, entering as difference from merge_entering
        union all
        select old_file, -count(*) from merge_changes where leaves and was_current group by old_file
    ) as movements
    group by file
    having sum(difference) <> 0
) as moved
where {{ ledger }}.source_file = moved.file and {{ lets_through(ledger ~ '.verdict') }};

delete from {{ ledger }}
where source_file in (select source_file from {{ verdicts }} where landing_id in ({{ plan.arriving }}));

insert into {{ ledger }} ({{ ledger_columns() }})
select
    arriving.source_file,
    arriving.content_hash,
    arriving.file_date,
    arriving.verdict,
    arriving.received,
    coalesce(entered.current_rows, 0),
    arriving.valid - coalesce(entered.current_rows, 0),
    arriving.rejected,
    0
from {{ verdicts }} as arriving
left join (
    select file, sum(entering) as current_rows from merge_entering group by file
) as entered on arriving.source_file = entered.file
where arriving.landing_id in ({{ plan.arriving }});

delete from {{ ledger }} where verdict = 'held' and {{ held_of }};

{{ insert_held(ledger, verdicts, held_of) }}
{% endmacro %}


{% macro ledger_columns() -%}
source_file, content_hash, file_date, verdict, received_rows, current_rows, superseded_rows, rejected_rows, held_rows
{%- endmacro %}


{% macro insert_held(ledger, verdicts, condition) %}
insert into {{ ledger }} ({{ ledger_columns() }})
select source_file, content_hash, file_date, verdict, received, 0, 0, 0, received
from ({{ held_landings(verdicts) }}) as held
where {{ condition }};
{% endmacro %}


{#- The whole ledger of a feed from what is stored, of some landings. -#}
{% macro count_ledger(feed, table, landings) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') %}
insert into {{ ledger }} ({{ ledger_columns() }})
select
    passed.source_file,
    passed.content_hash,
    passed.file_date,
    passed.verdict,
    passed.received,
    coalesce(final.current_rows, 0),
    passed.valid - coalesce(final.current_rows, 0),
    passed.rejected,
    0
from {{ verdicts }} as passed
left join (
    select source_file, count(*) as current_rows
    from {{ table }}
    where {{ is_current(contract_names(feed)) }}
    group by source_file
) as final on passed.source_file = final.source_file
where passed.landing_id in ({{ landings }});

{{ insert_held(ledger, verdicts, of_feed(feed)) }}
{% endmacro %}


{#- Removes what is left in staging of contents that are neither the newest of their file nor in force. -#}
{% macro forget_landings(feed) %}
    {%- set landed, ledger = ref('landed_files'), ref('load_ledger') -%}
    {%- set older -%}
        select landing_id
        from {{ landed }}
        where {{ of_run(feed) }}
        qualify landing_id < max(landing_id) over (partition by source_file)
    {%- endset -%}
    {%- set older = landing_ids(older) -%}
    {%- if older != 'null' %}
        {% for table in [ref('raw_' ~ feed), ref('typed_' ~ feed), landed] %}
delete from {{ table }}
where landing_id in ({{ older }}) and landing_id not in ({{ landings_in_force(ledger, feed) }});
        {% endfor %}
    {%- endif -%}
{% endmacro %}
