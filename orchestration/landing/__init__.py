"""What no SQL can do for a landing zone: list it, hash a file, and take it whole or refuse it.

On DuckDB dbt calls it as a plugin; on Snowflake, COPY INTO does the same work.
"""


def __getattr__(name: str) -> object:
    """Gives `Plugin`, which dbt-duckdb looks for here, as the profile says; the parts of the package need no dbt."""
    if name != "Plugin":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestration.landing.plugin import Plugin

    return Plugin
