{#- A table that is made empty, once, and is never made anew: its rows are written by others, in transactions of theirs. A
    column that the contract has gained is null for what was there before. -#}
{% materialization register, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set is_there = load_relation(relation) -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {%- for change in create_or_extend(relation, model.columns.values()) %}
            {{ change }};
        {%- else -%}
            select 'unchanged' as status
        {%- endfor -%}
    {% endcall %}
    {% do apply_grants(relation, config.get('grants'), should_revoke(is_there, full_refresh_mode=false)) %}
    {% do persist_docs(relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}
