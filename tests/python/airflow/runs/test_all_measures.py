"""What was measured of all runs of this folder, which have ended by now."""

import pytest

from support.metrics import Measured, in_cloudwatch

# One Airflow is started for all of them.
pytestmark = pytest.mark.xdist_group("dag_runs")


def test_cloudwatch_has_what_datadog_has(airflow):
    """But for those moments in which AWS took nobody."""
    everything = Measured(airflow.services.metrics, since=0)
    refused = {airflow.dag_id, "table_sync"}
    sent = {one: values for one, values in everything.values().items() if not refused & set(dict(one[1]).values())}
    wanted = {one: (len(values), pytest.approx(sum(values))) for one, values in sent.items()}
    assert wanted, "the other tests of this folder come before"
    kept = in_cloudwatch(airflow.services.s3.endpoint, "Pipelines")
    assert {one: kept[one][:2] for one in wanted} == wanted
    names = {name for name, _ in kept}
    assert names == {name for name, _ in everything.values()}
    assert {unit for (name, _), (_, _, unit) in kept.items() if name.endswith("duration")} == {"Milliseconds"}
