"""What fakesnow 0.11.18 lacks of Snowflake, one repair each: the larger ones beside this module, the small ones here.

Every repair says what Snowflake documents and what fakesnow does instead;
`tests/python/snowflake/test_snowflake_emulator.py` runs each of its statements on fakesnow as it comes and tells when a
repair is no longer needed. No repair knows a table, a column or a model of this project. Pages are below https://docs.snowflake.com/en/.
"""

from string import Template

import boto3
import pyarrow as pa
import pyarrow.compute as pc
from fakesnow import arrow, info_schema, server, transforms
from sqlglot import exp

from orchestration.local.stand_ins.snowflake.answers import Json
from orchestration.local.stand_ins.snowflake.cursors import statements
from orchestration.local.stand_ins.snowflake.documents import replacements
from orchestration.local.stand_ins.snowflake.login import accounts
from orchestration.local.stand_ins.snowflake.sessions import sessions_of_their_own
from orchestration.local.stand_ins.snowflake.statements import errors


def repair(public_key: str, storage: Json) -> None:
    """Apply all repairs to the fakesnow of this process."""
    s3 = boto3.client("s3", **storage)
    accounts(public_key)
    errors()
    sessions_of_their_own()
    statements(s3)
    null_timestamps()
    large_results()
    comments()
    listed_views()
    exact_sums()
    transforms.regex_replace = replacements
    in_place()


def null_timestamps() -> None:
    """NULL is NULL (sql-reference/data-types-datetime). A NULL timestamp arrives from fakesnow as 1970-01-01."""
    convert = arrow.timestamp_to_sf_struct

    def timestamp_to_sf_struct(times: pa.Array | pa.ChunkedArray) -> pa.Array:
        times = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        if not times.null_count:
            return convert(times)
        filled = convert(times.fill_null(pa.scalar(0, times.type)))
        fields = [filled.field(place) for place in range(filled.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(filled.type), mask=pc.is_null(times))

    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct


def large_results() -> None:
    """A result may have any number of rows (user-guide/querying-persisted-results). fakesnow fails for one that Arrow
    holds in several batches.
    """
    write = server.to_ipc
    server.to_ipc = lambda table: write(table.combine_chunks())


def comments() -> None:
    """A comment may hold a quote (sql-reference/sql/comment). fakesnow writes it into SQL as it is."""
    insert = info_schema.insert_table_comment_sql
    info_schema.insert_table_comment_sql = lambda catalog, schema, table, comment: insert(
        catalog, schema, table, (comment or "").replace("'", "''")
    )


def listed_views() -> None:
    """INFORMATION_SCHEMA.TABLES has a row for each table and view (sql-reference/info-schema/tables). fakesnow's has
    none for a view.
    """
    tables = info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW
    views = tables.template.partition(" AS\n")[2]
    for old, new in {
        "duckdb_tables tables": "(select *, view_name as table_name, 0 as estimated_size from duckdb_views) tables",
        "'BASE TABLE' AS": "'VIEW' AS",
    }.items():
        assert old in views, "fakesnow has changed this view"
        views = views.replace(old, new)
    info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW = Template(f"{tables.template} union all {views}")


def exact_sums() -> None:
    """A sum of fixed-point numbers is exact (sql-reference/data-types-numeric). fakesnow sums as double."""
    transforms.numeric_agg_implicit_cast = lambda expression: expression


def in_place() -> None:
    """No repair, but three quarters of the time: fakesnow copies a statement for each of its seventy changes to it."""
    change = exp.Expression.transform
    exp.Expression.transform = lambda self, *arguments, copy=False, **options: change(
        self, *arguments, copy=copy, **options
    )
