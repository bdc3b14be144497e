{#- Which rows of production are compared: `column` lies in one of the `ranges`, or `all` or `none` of them are. The
    column is that of the key; where the project bounds how far back copies are looked for, that of the time. -#}
{% macro merge_ranges(feed, winners, model_rows, plan) %}
    {%- set days = var('duplicates_within_days', none) if feed.within is defined else none -%}
    {%- set column = feed.key[0] if days is none else feed.within -%}
    {%- if plan.anew or plan.arriving == 'null' -%}{{ return({'column': column, 'ranges': 'none'}) }}{%- endif -%}
    {%- if feed.kind == 'extract' -%}{{ return({'column': column, 'ranges': 'all'}) }}{%- endif -%}
    {%- set values -%}
        select {{ column }} from {{ winners }}
        union all
        select {{ column }} from ({{ model_rows }} ({{ plan.replaced }})) as replaced
    {%- endset -%}
    {%- set ranges = key_ranges(column, values) if days is none else day_ranges(column, values, days) -%}
    {{ return({'column': column, 'ranges': ranges}) }}
{% endmacro %}


{#- Ranges of literals that hold the days of some times, and so many days before and after each. -#}
{% macro day_ranges(column, times, days) %}
    {%- set query = 'select distinct cast(' ~ column ~ ' as date) as day from (' ~ times ~ ') as times order by day' -%}
    {%- set around, ranges = modules.datetime.timedelta(days=days | int), [] -%}
    {%- for first, last in runs_of_days(run_query(query).columns[0].values() | map('string'), around) -%}
        {%- do ranges.append(["cast('" ~ first ~ "' as timestamp)", "cast('" ~ last ~ "' as timestamp)"]) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{% endmacro %}


{#- Ranges of literals, at most eight, that hold all of some keys: [[low, high], ...]; none without keys. One range
    would span the history as soon as one old sale is corrected. They are cut where the four characters behind the
    keys' common beginning leap far, a sixteenth of the whole; wherever the cuts are, no key is lost. -#}
{% macro key_ranges(key, keys) %}
    {%- set ends = run_query('select min(' ~ key ~ '), max(' ~ key ~ ') from (' ~ keys ~ ') as keys').rows[0] -%}
    {%- if ends[0] is none -%}{{ return(none) }}{%- endif -%}
    {%- set length = namespace(common=0) -%}
    {%- for a, b in zip(ends[0], ends[1]) -%}
        {%- if a == b and length.common == loop.index0 -%}{%- set length.common = loop.index -%}{%- endif -%}
    {%- endfor -%}
    {%- set ranges = [] -%}
    {%- for low, high in run_query(cut_keys(key, keys, length.common)).rows -%}
        {%- do ranges.append([text_literal(low), text_literal(high)]) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{% endmacro %}


{% macro cut_keys(key, keys, common, cuts=7) %}
with places as (
    select substr({{ key }}, {{ common + 1 }}, 4) as place, min({{ key }}) as low, max({{ key }}) as high
    from ({{ keys }}) as keys
    group by substr({{ key }}, {{ common + 1 }}, 4)
),
leaps as (
    select
        low,
        high,
        {% set number -%}
            {% for digit in range(4) -%}
            greatest(0, least(unicode(substr(place, {{ digit + 1 }}, 1)) - 48, 75)) * {{ 76 ** (3 - digit) }}
            {{- ' + ' if not loop.last }}
            {%- endfor %}
        {%- endset -%}
        {{ number }} - lag({{ number }}) over (order by low) as leap
    from places
),
ranked as (
    select
        low,
        high,
        row_number() over (order by leap desc nulls last, low) <= {{ cuts }} and leap * 16 > sum(leap) over () as is_cut
    from leaps
),
numbered as (
    select low, high, sum(case when is_cut then 1 else 0 end) over (order by low rows unbounded preceding) as part
    from ranked
)
select min(low), max(high) from numbered group by part order by min(low)
{% endmacro %}


{#- The condition that a row is compared: it lets the engine skip the history, and where it is on the key it can never
    lose a match. -#}
{% macro within(ranges, row=none) %}
    {%- if ranges.ranges is string -%}{{ return('true' if ranges.ranges == 'all' else 'false') }}{%- endif -%}
    {%- set column, conditions = (row ~ '.' if row else '') ~ ranges.column, [] -%}
    {%- for range in ranges.ranges or [] -%}
        {%- do conditions.append(column ~ ' between ' ~ range | join(' and ')) -%}
    {%- endfor -%}
    {{ return('(' ~ (conditions | join(' or ') or 'false') ~ ')') }}
{% endmacro %}
