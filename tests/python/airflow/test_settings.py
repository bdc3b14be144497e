"""Settings: the README lists each with its default, and each reaches what it is for."""

import json
import os
import re
import subprocess
import sys

import pytest

from orchestration import settings
from support.reference import PROJECT

# What dbt reads, and Python does not.
OF_DBT = {"LANDING_ROOT"}
OTHERS = {
    "PIPELINES_BUCKET": "another-lake",
    "PIPELINES_PREFIX": "landing/zone",
    "PIPELINES_MAIL_TO": "people@example.org",
    "PIPELINES_AWS_CONNECTION": "another_s3",
    "PIPELINES_CHAT_CONNECTION": "another_chat",
    "PIPELINES_MAIL_CONNECTION": "another_mail",
    "PIPELINES_LATE_HOURS": "7",
}
# Airflow and what is told of it, as one who asks sees them.
ASKED = """
import json
from airflow.dag_processing.dagbag import DagBag
from orchestration.alerts import channels
bag = DagBag("orchestration/dags")
assert not bag.import_errors, bag.import_errors
dag = bag.dags["daily_sales_etl_v2"]
wait, mail = dag.get_task("wait_for_sales_file"), channels._mail("subject", "text")
print(json.dumps({
    "bucket": wait.bucket_name,
    "key": wait.bucket_key,
    "s3": wait.aws_conn_id,
    "loads": sorted({of.env["LANDING_ROOT"] for of in dag.tasks if hasattr(of, "env")}),
    "mail": [mail.to, mail.smtp_conn_id],
    "chat": channels._chat().slack_webhook_conn_id,
    "hours": dag.deadline[0].interval.total_seconds() / 3600,
}))
"""


def in_another_process(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What Python does with other settings: they are read once, when it starts."""
    kept = {name: value for name, value in os.environ.items() if name not in settings.DEFAULTS}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=kept | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.fast
def test_the_readme_lists_what_is_read():
    _, _, section = (PROJECT / "README.md").read_text().partition("\n## Settings\n")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    listed = {variable: "" if default == "none" else default.strip("`") for variable, default in rows}
    assert {name: default for name, default in listed.items() if name not in OF_DBT} == settings.DEFAULTS
    assert listed.keys() - settings.DEFAULTS == OF_DBT


@pytest.mark.fast
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PIPELINES_WAIT_SECONDS", "an hour", "'an hour': it must be a whole number, at least 1."),
        ("PIPELINES_LATE_HOURS", "0", "'0': it must be a number above 0."),
        ("PIPELINES_TASK_LATE_MINUTES", "inf", "'inf': it must be a number above 0."),
        ("PIPELINES_RETRIES", "-1", "'-1': it must be a whole number, at least 0."),
        ("PIPELINES_MAIL_TO", " ", "' ': it must not begin or end with a blank."),
    ],
)
def test_a_value_that_cannot_be_is_named(variable, value, says):
    done = in_another_process("import orchestration.settings", {variable: value})
    assert done.stderr.splitlines()[-1] == f"ValueError: {variable} is {says}"


@pytest.mark.fast
def test_what_is_set_to_nothing_is_the_default():
    done = in_another_process("from orchestration.settings import *; print(BUCKET, RETRIES)", {
        "PIPELINES_BUCKET": "", "PIPELINES_RETRIES": "",
    })  # fmt: skip
    assert done.stdout.split() == ["company-data-lake", "3"]


def test_a_target_that_is_not_production_is_named():
    done = in_another_process("import orchestration.project", {"DBT_TARGET": "Snowflake"})
    assert done.stderr.splitlines()[-1] == (
        "ValueError: DBT_TARGET is 'Snowflake': the DAGs load production, which is duckdb or snowflake."
    )


def test_settings_reach_what_they_are_for(tmp_path):
    environment = OTHERS | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    done = in_another_process(ASKED, environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "bucket": "another-lake",
        "key": "landing/zone/raw/sales/{{ (dag_run.logical_date or dag_run.run_after) | ds }}/sales_export.csv",
        "s3": "another_s3",
        "loads": ["s3://another-lake/landing/zone"],
        "mail": ["people@example.org", "another_mail"],
        "chat": "another_chat",
        "hours": 7,
    }
