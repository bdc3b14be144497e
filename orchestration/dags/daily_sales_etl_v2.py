"""
### Daily sales

Takes the sales files of one day from the landing zone to `prod.daily_sales`, behind the gate. The run at 02:00 UTC
loads the day before, `raw/sales/<date>/`.

| task | what |
|---|---|
| wait_for_sales_file | until `sales_export.csv` has come, an hour at most |
| extract_to_staging | new and restated files, as they are, into `staging.raw_sales` |
| transform_sales | typed, judged file by file, deduplicated: `staging.clean_sales` |
| quality_checks | what must hold whatever comes, or nothing is merged |
| load_to_prod | merge into `prod.daily_sales` and its ledger, then the totals by day and store |
| update_metrics | the measures of the load; red while a file of the day is refused or held |
| notify_success | tells what was loaded |

Every task may be run again at any time: the same file twice changes nothing. A file that is to be mended is named in
the alert and in `staging.files_to_mend`; the others of its day are loaded.
"""

from airflow.sdk import CronDataIntervalTimetable

from orchestration.daily_sales import daily_sales

dag = daily_sales(
    "daily_sales_etl_v2",
    description="Extract daily sales data, transform, load to Snowflake",
    doc_md=__doc__,
    # A cron string would be a trigger: its run at 02:00 would be of the day itself.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["sales", "daily", "production"],
)
