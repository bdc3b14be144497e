"""The SQL that the warehouses get is theirs: compiled for each without a server, and linted in its dialect.

`make lint` reads the models as they are written, for DuckDB; what macros make of them, for either, is read here.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from dbt.adapters.snowflake import SnowflakeAdapter
from dbt.cli.main import dbtRunner
from sqlfluff.core import FluffConfig, Linter
from sqlglot import Expr, exp, parse
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from support.reference import PROJECT
from support.warehouse import environment

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake_sql")

RUN_TIME_SQL = """
-- depends_on: {{ ref('file_verdicts') }} {{ ref('typed_sales') }} {{ ref('load_ledger') }} {{ ref('raw_sales') }}
-- depends_on: {{ ref('landed_files') }} {{ ref('released_files') }} {{ ref('stale_days') }}
-- depends_on: {{ ref('topic_generations') }}
{%- set landed, refused = ref('landed_files'), ref('refused_files') -%}
{%- set raw, sales = ref('raw_sales'), ref('daily_sales') -%}
{%- set file = {
    'source_file': "raw/sales/2024-01-05/it's.csv", 'fingerprint': 'h', 'file_date': '2024-01-05', 'landing_id': 1
} -%}
{%- set columns, names = ['sale_id', 'quantity'], ['quantity', 'extra', 'sale_id'] -%}
{%- if execute %}
{% if target.type == 'snowflake' %}
{{ snowflake_changes(landed, refused, feed_of('sales'), "raw/it's/") }};
{{ snowflake_landing_lines() }};
{{ snowflake_copy_lines([file, file]) }};
{{ snowflake_malformed() }};
{{ snowflake_copy_files(raw, columns, names, [file, file]) }};
{{ snowflake_loaded(raw, columns, [file]) }};
{{ snowflake_forget_rows(raw, [file], {"it's": 3}) }};
{{ snowflake_register(landed, [(file, 5, 'h'), (file, 6, 'i')], 'extra') }};
{{ snowflake_mended(refused, ["it's"]) }};
{{ snowflake_write_refusal(refused, file, 3, "it's bad") }};
{%- set object = {
    'source_file': "raw/events/it's/0/1/00000000000000000005.parquet", 'fingerprint': 'h', 'file_date': none,
    'landing_id': 2
} %}
{%- set found = {'content_hash': 'h', 'received': 2, 'next_offset': 7} %}
{{ snowflake_new_messages(landed, refused, ref('topic_generations'), 'raw/events/') }};
{{ snowflake_landing_messages() }};
{{ snowflake_copy_messages('raw/events/', [object, object]) }};
{{ snowflake_judge_messages('raw/events/') }};
{{ snowflake_register_messages(landed, [(object, found), (object, found)]) }};
{{ snowflake_insert_messages(raw, landed, [object, object]) }};
{{ snowflake_register_generations(ref('topic_generations')) }};
{{ snowflake_write_refusal(refused, object, none, "it's bad") }};
{% endif %}
{% for statement in create_what_orders_loads() %}{{ statement }};
{% endfor %}
{{ create_raw_table(raw, contract_columns('sales'))[0] }};
{{ refusal_of(refused, "it's") }};
{{ files_held(refused, ref('file_verdicts')) }};
{{ newest_landing_of(ref('file_verdicts'), ref('load_ledger'), "it's") }};
{{ record_release(ref('file_verdicts'), "it's", "it's \\\\ agreed", 'me', '2024-01-05 12:00:00') }};
{{ cut_keys('sale_id', 'select sale_id from ' ~ sales, 3) }};
{%- set model = 'select sale_id, quantity, updated_at, source_file, source_record from ' ~ raw %}
{%- set plan = {
    'arriving': '1', 'replaced': '2', 'in_force': '2', 'anew': false, 'compared': ['sale_id', 'quantity', 'updated_at'],
    'in_place': false
} %}
{{ newest_versions(feed_of('sales'), model ~ ' where landing_id in', plan) }};
{% call in_transaction({
    'merge_changes': collect_changes(
        sales, raw, feed_of('sales'), plan.compared, plan, [["'a'", "'b'"], ["'c'", "'d'"]]
    ),
    'merge_entering': count_entering(raw, ['sale_id'], contract_names('sales')),
}) %}
{{ stop_if_overtaken('sales', plan) }}
{{ write_ledger('sales', plan) }}
{{ mark_stale_days() }}
{{ apply_changes(sales, raw, ['sale_id'], ['sale_id', 'quantity', 'updated_at'], [["'a'", "'b'"], ["'c'", "'d'"]]) }}
{% endcall %}
{%- endif %}
"""


# Rules that say nothing of what macros make.
NOT_OF_COMPILED_SQL = {
    "layout": "the lines are those that Jinja left",
    "convention.terminator": "so is what stands before a semicolon",
    "structure.column_order": "as for the models (.sqlfluff)",
    "structure.subquery": "a macro puts its query where it is asked for",
    "structure.nested_case": "a default is put around a value, whatever that is",
    "aliasing.expression": "what is inserted goes by its place",
    "aliasing.unique.column": "likewise",
    "ambiguous.union": "`union` is distinct on both engines",
    "ambiguous.order_by": "of two versions the later wins, but the smaller path: one goes down, one up",
    "ambiguous.order_by_limit": "no row has no order",
    "ambiguous.column_count": "`*` of a table that has the contract's columns",
    "references.qualification": "it takes the columns of a subquery for those of the query around it",
    "references.quoting": "dbt quotes the names of relations, on DuckDB",
    "references.keywords": "a contract's columns have the names that the files give them",
}


# Their models are the same lines as those of the other tables.
ALIKE = ["tag:orders", "tag:products", "tag:support_tickets", "tag:payments", "tag:nps_responses"]


def compiled_for(target: str, folder: Path) -> dict[str, str]:
    """Compiled SQL by name."""
    # Nothing is built yet: whether a model is incremental would be asked of the server.
    asks, SnowflakeAdapter.list_relations_without_caching = (
        SnowflakeAdapter.list_relations_without_caching,
        lambda *_: [],
    )
    try:
        places = {"DBT_TARGET": target, "WAREHOUSE_PATH": str(folder / "warehouse.duckdb")}
        with environment(**places, SNOWFLAKE_ACCOUNT="none", SNOWFLAKE_PRIVATE_KEY_PATH="none"):
            options = ["--quiet", "--target-path", str(folder), "--no-populate-cache"]
            options += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
            models = dbtRunner().invoke(["compile", "--select", "path:models", "--exclude", *ALIKE, *options])
            assert models.success, models.exception or [result.message for result in models.result]
            inline = dbtRunner().invoke(["compile", "--inline", RUN_TIME_SQL, *options])
            assert inline.success, inline.exception or [result.message for result in inline.result]
    finally:
        SnowflakeAdapter.list_relations_without_caching = asks
    nodes = [result.node for result in models.result if result.node.resource_type == "model"]
    found = {node.name: node.compiled_code for node in nodes if node.compiled_code}
    return found | {"run time": inline.result.results[0].node.compiled_code}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Callable[[str], dict[str, str]]:
    """The same for a target, which is compiled once if it is asked for."""
    return cache(lambda target: compiled_for(target, tmp_path_factory.mktemp(target)))


def without_database(sql: str) -> str:
    """What is written differently on each target: names of relations."""
    return sql.replace('"', "").replace("analytics.", "")


# One model of each layer, and what macros make at run time.
OFTEN = ["raw_sales", "typed_sales", "file_verdicts", "daily_sales", "customers_history", "run time"]


@pytest.mark.parametrize(
    ("target", "only"),
    [
        pytest.param("snowflake", OFTEN, id="some for snowflake"),
        pytest.param("snowflake", [], id="snowflake", marks=pytest.mark.long),
        pytest.param("duckdb", [], id="duckdb", marks=pytest.mark.long),
    ],
)
def test_every_statement_is_of_its_dialect_and_our_style(target, only, compiled):
    overrides = {"dialect": target, "templater": "raw", "exclude_rules": ",".join(NOT_OF_COMPILED_SQL)}
    linter = Linter(config=FluffConfig.from_root(overrides=overrides))
    # What is the same text for both is read once.
    read = {without_database(sql) for sql in compiled("snowflake").values()} if target == "duckdb" else set()
    asked = {name: compiled(target)[name] for name in only} or compiled(target)
    found = {
        name: [
            f"{fault.rule_code()} line {fault.line_no}: {fault.desc()}" for fault in linter.lint_string(sql).violations
        ]
        for name, sql in asked.items()
        if without_database(sql) not in read
    }
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_the_dispatched_sql_is_snowflakes(compiled):
    compiled = compiled("snowflake")
    assert "try_to_timestamp_tz" in compiled["typed_sales"]
    assert "regexp_full_match" not in compiled["typed_sales"]
    assert "on_error = skip_file" in compiled["run time"]
    assert "merge into" in compiled["run time"]


# What a value is made of that has the type of an argument of it.
PASSED_ON = (exp.Alias, exp.Paren, exp.Window, exp.Max, exp.Min, exp.Lead, exp.Lag, exp.Nullif, exp.SetOperation)
OF_ONE_TYPE = (exp.Cast, exp.TryCast, exp.Predicate, exp.Connector, exp.Not, exp.Boolean, exp.Null, exp.ToBoolean)


def not_cast(value: Expr, scope: Scope) -> list[str]:
    """What of a value is neither a column of a table nor cast: a literal, a count, a sum, a text put together.

    Snowflake gives it a type of its own: NUMBER(1,0) for a 0, NUMBER(18,0) for a count, VARCHAR(6) for a word of six.
    """
    if isinstance(value, OF_ONE_TYPE):
        return []
    if isinstance(value, exp.Case):
        parts = [branch.args["true"] for branch in value.args["ifs"]] + [value.args.get("default") or exp.Null()]
        return [one for part in parts for one in not_cast(part, scope)]
    if isinstance(value, exp.Coalesce):
        return [one for part in (value.this, *value.expressions) for one in not_cast(part, scope)]
    if isinstance(value, PASSED_ON):
        return not_cast(value.this, scope)
    if isinstance(value, exp.Column):
        source = scope.sources.get(value.table)
        return columns_not_cast(source).get(value.name, []) if isinstance(source, Scope) else []
    return [value.sql(dialect="snowflake")]


def columns_not_cast(scope: Scope) -> dict[str, list[str]]:
    """The columns of a query, each with what is not cast of it."""
    if scope.union_scopes:
        left, right = (columns_not_cast(one) for one in scope.union_scopes)
        return {name: found + other for (name, found), other in zip(left.items(), right.values(), strict=True)}
    return {one.alias_or_name: not_cast(one, scope) for one in scope.expression.selects}


def queries_of_columns(name: str, sql: str) -> list[Expr]:
    """The queries that make the columns of a table or a view: that of a model, those of what is created at run time."""
    statements = [one for one in parse(sql, dialect="snowflake") if one]
    if name == "run time":
        statements = [one.expression for one in statements if isinstance(one, exp.Create)]
    return [one for one in statements if isinstance(one, exp.Query)]


def test_what_makes_a_column_is_cast_to_its_type(compiled):
    """So that a table is as its properties file says, and the next run's query is as the table."""
    found = {}
    for name, sql in compiled("snowflake").items():
        for query in queries_of_columns(name, sql):
            scope = build_scope(qualify(query, dialect="snowflake", validate_qualify_columns=False))
            found |= {f"{name}.{column}": values for column, values in columns_not_cast(scope).items() if values}
    assert found == {}
