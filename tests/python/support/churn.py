"""Tables of customers for tests, and a client of a local SageMaker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache

import boto3
import botocore.session
import numpy as np
import pyarrow as pa
from botocore.config import Config

from orchestration.churn.deploying import Serving
from orchestration.churn.prepared import prepare
from orchestration.churn.training import Trained, train
from orchestration.local.stand_ins.sagemaker.plane import KEY, REGION, ROLE, SECRET, ControlPlane
from orchestration.local.stand_ins.sagemaker.server import control_plane
from orchestration.local.stand_ins.sagemaker.shapes import problems

DAY = date(2024, 1, 31)
AT = datetime(2024, 3, 2, 2, tzinfo=UTC)
SERVING = Serving(role=ROLE, seconds=5, every=0.001)


def customers(count: int = 600, seed: int = 0, noise: float = 1.0) -> pa.Table:
    """A snapshot of customers, of whom about a quarter churned; the more noise, the less can be known."""
    random = np.random.default_rng(seed)
    logins, tickets = random.integers(0, 90, count).astype(float), random.poisson(1.5, count)
    adoption, plan = random.random(count), random.choice(["basic", "pro", "team"], count)
    risk = logins / 15 + tickets - 4 * adoption + 2 * (plan == "basic") + noise * random.normal(size=count)
    churned = risk > np.quantile(risk, 0.75)
    logins[random.random(count) < 0.1] = np.nan
    return pa.table(
        {
            # Not in the order of their ids.
            "customer_id": [f"C{number:05d}" for number in random.permutation(count)],
            "days_since_last_login": pa.array(logins, from_pandas=True),
            "support_tickets_30d": tickets,
            "feature_adoption_score": adoption,
            "plan": plan,
            "churned_flag": churned.astype(int),
            "snapshot_date": [DAY] * count,
        }
    )


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    """The table with another column in the place of the one of that name, or at the end."""
    at = table.column_names.index(name) if name in table.column_names else table.num_columns
    kept = table.drop_columns([name]) if name in table.column_names else table
    return kept.add_column(at, name, pa.chunked_array([pa.array(values)]))


def trained(table: pa.Table, hold_out: bool = False) -> Trained:
    """A model of a table."""
    return train(prepare(table), hold_out)


def client(plane: ControlPlane, attempts: int = 1):
    """A boto3 client that asks so many times."""
    return _client(plane.address, attempts)


@cache
def _client(address: str, attempts: int):
    # Each costs a third of a second: the API is large.
    return boto3.client(
        "sagemaker", endpoint_url=address, region_name=REGION, aws_access_key_id=KEY,
        aws_secret_access_key=SECRET, config=Config(retries={"total_max_attempts": attempts}),
    )  # fmt: skip


@contextmanager
def sagemaker() -> Iterator[ControlPlane]:
    """A local SageMaker, each of whose answers is one by botocore's model of the API."""
    with control_plane() as plane:
        answer, api = plane.answer, botocore.session.get_session().get_service_model("sagemaker")

        def checked(operation: str, asked: dict) -> dict:
            answered = answer(operation, asked)
            wrong = problems(answered, api.operation_model(operation).output_shape)
            assert not wrong, (operation, wrong)
            return answered

        plane.answer = checked
        yield plane


def serving(**changes) -> Serving:
    """How tests serve."""
    return replace(SERVING, **changes)
