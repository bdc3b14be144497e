"""What a team changes when the pipelines become its own, each with a default and an environment variable.

The README has the table of them. Neither Airflow nor dbt is imported here, so that everything may import it.
"""

from __future__ import annotations

import os

# The default of every variable that is read here, as the README shows it.
DEFAULTS: dict[str, str] = {}


def text(variable: str, default: str) -> str:
    """A setting of any text."""
    DEFAULTS[variable] = default
    value = os.environ.get(variable) or default
    if value != value.strip():
        raise ValueError(f"{variable} is {value!r}: it must not begin or end with a blank.")
    return value


def folder(variable: str, default: str) -> str:
    """A setting of a folder, with a slash at its end unless there is none."""
    path = text(variable, default).strip("/")
    return f"{path}/" if path else ""


def number(variable: str, default: int, least: int = 1) -> int:
    """A setting that counts something."""
    value = text(variable, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < least:
        raise ValueError(f"{variable} is {value!r}: it must be a whole number, at least {least}.")
    return int(value)


def amount(variable: str, default: float) -> float:
    """A setting of how much of something, of which there may be parts."""
    value = text(variable, f"{default:g}")
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"{variable} is {value!r}: it must be a number above 0.")
    return found


def share(variable: str, default: float) -> float:
    """A setting between 0 and 1."""
    value = text(variable, str(default))
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError(f"{variable} is {value!r}: it must be a number from 0 to 1.")
    return found


def words(variable: str) -> tuple[str, ...]:
    """A setting of words that are divided by commas."""
    DEFAULTS[variable] = ""
    return tuple(word for word in map(str.strip, os.environ.get(variable, "").split(",")) if word)


# Which warehouse, and the DuckDB file.
TARGET = text("DBT_TARGET", "duckdb")
WAREHOUSE_PATH = text("WAREHOUSE_PATH", "warehouse.duckdb")

# Where files land: the bucket, and in it the folder that holds raw/.
BUCKET = text("PIPELINES_BUCKET", "company-data-lake")
PREFIX = folder("PIPELINES_PREFIX", "")

# Who owns the tasks, and who gets mail.
OWNER = text("PIPELINES_OWNER", "data-engineering")
MAIL_TO = text("PIPELINES_MAIL_TO", "data-alerts@company.com")

# Airflow's names of its connections, and of the pool in which one process at a time writes a DuckDB file.
AWS_CONNECTION = text("PIPELINES_AWS_CONNECTION", "aws_default")
SNOWFLAKE_CONNECTION = text("PIPELINES_SNOWFLAKE_CONNECTION", "snowflake_prod")
KAFKA_CONNECTION = text("PIPELINES_KAFKA_CONNECTION", "kafka_default")
CHAT_CONNECTION = text("PIPELINES_CHAT_CONNECTION", "slack_default")
MAIL_CONNECTION = text("PIPELINES_MAIL_CONNECTION", "smtp_default")
POOL = text("PIPELINES_POOL", "warehouse")

# How long the day's file is waited for, and how often it is looked for.
WAIT_SECONDS = number("PIPELINES_WAIT_SECONDS", 3600)
POKE_SECONDS = number("PIPELINES_POKE_SECONDS", 300)

# How often a task is tried again, after how long at first and at most, and when it is ended.
RETRIES = number("PIPELINES_RETRIES", 3, least=0)
RETRY_SECONDS = number("PIPELINES_RETRY_SECONDS", 300, least=0)
MOST_RETRY_SECONDS = number("PIPELINES_MOST_RETRY_SECONDS", 1800)
TASK_SECONDS = number("PIPELINES_TASK_SECONDS", 7200)

# Which topic is read, how much of it one object and one run take, and how many tasks share out its partitions.
TOPIC = text("PIPELINES_TOPIC", "user.events.v1")
BATCH_SIZE = number("PIPELINES_BATCH_SIZE", 10_000)
MOST_EVENTS = number("PIPELINES_MOST_EVENTS", 2_000_000)
MOST_SECONDS = number("PIPELINES_MOST_SECONDS", 240)
CONSUMERS = number("PIPELINES_CONSUMERS", 1)

# How long an answer of Kafka is waited for, and after how long reading it is tried again.
KAFKA_SECONDS = number("PIPELINES_KAFKA_SECONDS", 30)
KAFKA_RETRY_SECONDS = number("PIPELINES_KAFKA_RETRY_SECONDS", 60, least=0)

# After how long a lag that grows, a topic of which nothing comes, and a run of events that still runs are told.
LAG_MINUTES = number("PIPELINES_LAG_MINUTES", 60)
SILENT_HOURS = amount("PIPELINES_SILENT_HOURS", 24)
EVENTS_LATE_MINUTES = number("PIPELINES_EVENTS_LATE_MINUTES", 30)

# After how long a run that is not complete is told of, and a load or a training that still runs.
LATE_HOURS = amount("PIPELINES_LATE_HOURS", 2)
TASK_LATE_MINUTES = amount("PIPELINES_TASK_LATE_MINUTES", 30)

# Where metrics are sent, and what of CloudWatch they belong to. No wrong word stops a DAG: who sends says so.
METRICS = words("METRICS")
METRICS_NAMESPACE = text("PIPELINES_METRICS_NAMESPACE", "Pipelines")

# How long chat, mail and metrics are waited for, each; and S3, each of so many times.
ALERT_SECONDS = number("PIPELINES_ALERT_SECONDS", 5)
S3_SECONDS = number("PIPELINES_S3_SECONDS", 20)
S3_ATTEMPTS = number("PIPELINES_S3_ATTEMPTS", 3)

# The churn model: where models are stored; the least that one is trained on, and how far a feature's share of nulls
# may be from the last model's; the least AUC to deploy, and how much less than the deployed model's it may be; from
# which population stability index on a drift is told.
MODELS_BUCKET = text("PIPELINES_MODELS_BUCKET", "models")
LEAST_CUSTOMERS = number("PIPELINES_LEAST_CUSTOMERS", 200)
LEAST_CHURNERS = number("PIPELINES_LEAST_CHURNERS", 20)
NULL_SHIFT = share("PIPELINES_NULL_SHIFT", 0.2)
LEAVE_OUT = words("PIPELINES_LEAVE_OUT")
AUC_FLOOR = share("PIPELINES_AUC_FLOOR", 0.6)
AUC_TOLERANCE = share("PIPELINES_AUC_TOLERANCE", 0.005)
DRIFT = share("PIPELINES_DRIFT", 0.2)

# Its endpoint on SageMaker. The image is that of the region; the alarms of CloudWatch, divided by commas, roll a
# deployment back.
ENDPOINT = text("PIPELINES_ENDPOINT", "churn-prediction-v3")
ENDPOINT_IMAGE = text(
    "PIPELINES_ENDPOINT_IMAGE", "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
)
ENDPOINT_ROLE = text("PIPELINES_ENDPOINT_ROLE", "")
ENDPOINT_INSTANCE = text("PIPELINES_ENDPOINT_INSTANCE", "ml.m5.large")
ENDPOINT_INSTANCES = number("PIPELINES_ENDPOINT_INSTANCES", 1)
ENDPOINT_ALARMS = text("PIPELINES_ENDPOINT_ALARMS", "")
ENDPOINT_SECONDS = number("PIPELINES_ENDPOINT_SECONDS", 3600)
ENDPOINT_POKE_SECONDS = number("PIPELINES_ENDPOINT_POKE_SECONDS", 30)
MODELS_KEPT = number("PIPELINES_MODELS_KEPT", 10, least=2)
