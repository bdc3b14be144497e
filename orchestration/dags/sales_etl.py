"""
### Daily sales, from the first day on

The pipeline of `daily_sales_etl_v2`, which catches up: once it is let run, each day since 2024-01-01 has a run, three
at a time, and then each new day. It ends in the same state, whichever of the two has loaded a day. A day without a
file is red, and the others go on.

It is paused until somebody wants it. A range of days alone is filled in by `make backfill`.
"""

from airflow.sdk import CronDataIntervalTimetable

from orchestration.daily_sales import daily_sales

dag = daily_sales(
    "sales_etl",
    description="Extract daily sales data, transform, load to Snowflake: every day from the first on",
    doc_md=__doc__,
    # Not by a string, which would be a trigger: its run at midnight would be of the day that begins.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    catchup=True,
    max_active_runs=3,
    is_paused_upon_creation=True,
    tags=["sales", "daily", "backfill"],
)
