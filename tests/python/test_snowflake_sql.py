"""The SQL that Snowflake would get is Snowflake's: compiled for that target without a server, and parsed."""

import os
from pathlib import Path

import pytest
from dbt.adapters.snowflake import SnowflakeAdapter
from dbt.cli.main import dbtRunner
from sqlfluff.core import FluffConfig, Linter

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake_sql")

PROJECT = Path(__file__).resolve().parents[2]

RUN_TIME_SQL = """
-- depends_on: {{ ref('file_verdicts') }} {{ ref('typed_sales') }} {{ ref('load_ledger') }} {{ ref('raw_sales') }}
{%- set landed, refused = source('landing', 'landed_files'), source('landing', 'refused_files') -%}
{%- set raw, sales = ref('raw_sales'), ref('daily_sales') -%}
{%- set file = {
    'source_file': "raw/sales/2024-01-05/it's.csv", 'fingerprint': 'h', 'file_date': '2024-01-05', 'landing_id': 1
} -%}
{%- set columns, names = ['sale_id', 'quantity'], ['quantity', 'extra', 'sale_id'] -%}
{%- if execute %}
{{ snowflake_changes(landed, refused, feed_of('sales'), "raw/it's/") }};
{{ snowflake_copy_headers([file, file]) }};
{{ snowflake_copy_files(raw, columns, names, [file, file]) }};
{{ snowflake_loaded(raw, columns, [file]) }};
{{ snowflake_forget_rows(raw, [file], {"it's": 3}) }};
{{ snowflake_register(landed, [(file, 5, 'h'), (file, 6, 'i')], 'extra') }};
{{ snowflake_mended(refused, ["it's"]) }};
{{ snowflake_write_refusal(refused, file, 3, "it's bad") }};
{{ create_registers() }}
{{ create_raw_table(raw, contract_columns('sales'))[0] }};
{{ refusal_of(refused, "it's") }};
{{ files_held(refused, ref('file_verdicts')) }};
{{ newest_landing_of(ref('file_verdicts'), ref('load_ledger'), "it's") }};
{{ record_release(ref('file_verdicts'), "it's", "it's \\\\ agreed", 'me', '2024-01-05 12:00:00') }};
{{ collect_changes(sales, raw, ['sale_id'], 'sales', '2', [["'a'", "'b'"], ["'c'", "'d'"]]) }}
{{ cut_keys('sale_id', 'select sale_id from ' ~ sales, 3) }};
{{ count_entering(raw, ['sale_id'], contract_names('sales')) }}
{% call in_transaction() %}
{{ write_ledger('sales', '1') }}
{{ mark_touched_days() }}
{{ apply_changes(sales, raw, ['sale_id'], ['sale_id', 'quantity', 'updated_at'], [["'a'", "'b'"], ["'c'", "'d'"]]) }}
{% endcall %}
{%- endif %}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, str]:
    """Compiled SQL by name, for the Snowflake target."""
    target = tmp_path_factory.mktemp("snowflake")
    # Nothing is built yet: whether a model is incremental would be asked of the server.
    asks, SnowflakeAdapter.list_relations_without_caching = (
        SnowflakeAdapter.list_relations_without_caching,
        lambda *_: [],
    )
    environment = {"DBT_TARGET": "snowflake", "SNOWFLAKE_ACCOUNT": "none", "SNOWFLAKE_PRIVATE_KEY_PATH": "none"}
    os.environ.update(environment)
    try:
        options = ["--quiet", "--target-path", str(target), "--no-populate-cache"]
        options += ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        models = dbtRunner().invoke(["compile", "--select", "path:models", *options])
        assert models.success, models.exception or [result.message for result in models.result]
        inline = dbtRunner().invoke(["compile", "--inline", RUN_TIME_SQL, *options])
        assert inline.success, inline.exception or [result.message for result in inline.result]
    finally:
        SnowflakeAdapter.list_relations_without_caching = asks
        for name in environment:
            del os.environ[name]
    found = {result.node.name: result.node.compiled_code for result in models.result if result.node.compiled_code}
    return found | {"run time": inline.result.results[0].node.compiled_code}


def test_every_statement_parses_as_snowflakes(compiled):
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    unparsable = {
        name: [f"line {problem.line_no}: {problem.desc()}" for problem in linter.parse_string(sql).violations]
        for name, sql in compiled.items()
    }
    assert {name: problems for name, problems in unparsable.items() if problems} == {}


def test_the_dispatched_sql_is_snowflakes(compiled):
    assert "try_to_timestamp_tz" in compiled["typed_sales"]
    assert "regexp_full_match" not in compiled["typed_sales"]
    assert "on_error = skip_file" in compiled["run time"]
    assert "merge into" in compiled["run time"]
