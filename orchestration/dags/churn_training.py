"""
### Churn

Every night: the features of customers at the end of the day before, and a model that is trained on the newest snapshot
of which it is known who has churned. It is deployed to the endpoint only if it has earned that.

| task | what |
|---|---|
| fresh_feeds | what a snapshot is made of is there, and none of it is late |
| customer_features | the snapshot of the run's date, with its checks: `prod.customer_features` |
| trained_model | trains, measures, stores the model with its card in the bucket of models |
| deployed_model | compares it with what serves, on customers that no training uses, and deploys it if it is as good |
| scored_customers | each customer's probability to churn by the model that serves; how far customers have moved since |
| results | loads the decision and the scores: `prod.model_runs`, `prod.churn_scores` |
| notify_success | tells how the model measures, what was decided, and why |

Every task may be run again at any time: the same snapshot gives the same model, which is stored and deployed once. A
training or deployment that fails leaves what serves as it was, and that scores the customers; the run is red all the
same. The parameter is for a run by hand: the snapshot to train on.
"""

from datetime import UTC, datetime
from functools import partial

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, get_current_context, task, task_group
from cosmos import DbtBuildLocalOperator, DbtTaskGroup, DbtTestLocalOperator, RenderConfig
from cosmos.constants import LoadMode, TestBehavior

from orchestration import churn_tasks, settings
from orchestration.alerts.callbacks import tell_failure, tell_model
from orchestration.alerts.timers import alert_after
from orchestration.defaults import CHECKS, NOTIFY, watched
from orchestration.project import (
    ENV,
    EXECUTION,
    OPERATOR_ARGS,
    OPERATOR_KWARGS,
    POOL,
    PROFILE,
    PROJECT_CONFIG,
)

with DAG(
    "churn_training",
    description="Build customer features, train the churn model, deploy it if it is better",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["churn", "daily", "production"],
    params={
        "snapshot": Param(None, type=["null", "string"], format="date", description="the snapshot to train on"),
    },
    # What is no load knows of no files.
    **watched(),
):

    @task(**POOL, **alert_after(settings.TASK_LATE_MINUTES))
    def trained_model() -> dict:
        """Trains and stores the model."""
        return churn_tasks.train(get_current_context())

    @task(**POOL)
    def deployed_model(trained: dict) -> dict:
        """Decides on the model, and deploys it."""
        return churn_tasks.deploy(get_current_context(), trained)

    # With the features of the day, whatever has come of a new model.
    @task(**POOL, trigger_rule="all_done_min_one_success")
    def scored_customers() -> dict:
        """Scores customers with what serves."""
        return churn_tasks.score(get_current_context())

    @task
    def notify_success(decided: dict, scored: dict) -> None:
        """Tells what was decided."""
        tell_model(get_current_context(), decided, scored)

    @task_group
    def ml_training():
        """From facts to a model."""
        fresh = DbtTestLocalOperator(
            task_id="fresh_feeds",
            select="feeds_of_snapshots_are_fresh",
            pre_execute=churn_tasks.require_tables,
            **OPERATOR_KWARGS,
        )
        fresh.ui_color = CHECKS
        features = DbtTaskGroup(
            "customer_features",
            project_config=PROJECT_CONFIG,
            profile_config=PROFILE,
            execution_config=EXECUTION,
            render_config=RenderConfig(
                selector="customer_features",
                test_behavior=TestBehavior.BUILD,
                load_method=LoadMode.DBT_MANIFEST,
                emit_datasets=False,
            ),
            operator_args=OPERATOR_ARGS,
        )
        trained = trained_model()
        fresh >> features >> trained
        return features, trained

    @task_group
    def ml_deployment(features, trained):
        """From a model to what it says of customers."""
        decided = deployed_model(trained)
        scored = scored_customers()
        [features, decided] >> scored
        results = DbtBuildLocalOperator(
            task_id="results",
            selector="churn_results",
            # The rows of a run that failed, too; the whole run is then red all the same.
            trigger_rule="all_done",
            # All that has landed, of whatever day.
            **OPERATOR_KWARGS | {"env": ENV | {"RUN_DATE": ""}, "indirect_selection": "cautious"},
            on_failure_callback=partial(tell_failure, feed="model_runs"),
        )
        notify = notify_success(decided, scored)
        notify.operator.ui_color = NOTIFY
        scored >> results >> notify

    ml_deployment(*ml_training())
