"""A model is deployed when it has earned it; whatever goes wrong, what serves stays, and a rerun ends right."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pyarrow.parquet as pq
import pytest

from orchestration.churn import runs
from orchestration.churn.archive import ARCHIVE
from orchestration.churn.deploying import Deployed, deploy, deployed
from orchestration.churn.errors import ChurnError, DeploymentError, RefusedError
from orchestration.churn.gate import Gate
from orchestration.churn.pruning import prune
from orchestration.churn.store import Stored, files, load
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, storage
from orchestration.local.stand_ins.sagemaker.plane import Course
from support.churn import AT, DAY, client, customers, sagemaker, serving
from support.reference import PROJECT

ROOT = "s3://models"
OPEN = Gate(floor=0.5, tolerance=1)


@pytest.fixture(scope="module")
def planes():
    with sagemaker() as found:
        yield found


@pytest.fixture
def plane(planes):
    """A local SageMaker with nothing in it."""
    planes.clear()
    return planes


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket of models on a local S3."""
    with storage("models", tmp_path_factory.mktemp("mirror")) as s3, pytest.MonkeyPatch.context() as patched:
        account = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        for name, value in (account | {"AWS_ENDPOINT_URL_S3": s3.endpoint}).items():
            patched.setenv(name, value)
        yield s3


@pytest.fixture(scope="module")
def table():
    return customers(1000)


@pytest.fixture(scope="module")
def first(bucket, table):
    """A run that has trained on another day's customers, of whom less could be known."""
    return runs.train_run(customers(1000, seed=1, noise=6), DAY, AT, root=ROOT)


@pytest.fixture(scope="module")
def second(bucket, table):
    """A better one."""
    return runs.train_run(table, DAY, AT, root=ROOT)


def stored(number: int) -> Stored:
    """A model that nobody reads."""
    return Stored(ROOT, f"{number:064x}"[::-1])


def put(plane, number: int, **how) -> None:
    """Deploys a model in the place of whatever serves."""
    found = client(plane)
    deploy(found, stored(number), serving(**how), deployed(found, serving()))


def serves(plane) -> str | None:
    """The configuration that serves."""
    found = plane.endpoints.get("churn-prediction-v3")
    return found and found.serves


def test_the_first_the_better_the_same_and_the_worse(plane, first, second, table):
    found = client(plane)
    one, notes = runs.deploy_run(found, first, table, AT, root=ROOT, serving=serving(), gate=OPEN)
    assert (one.decision, one.configuration_before, notes) == ("deployed", None, [])
    assert "nothing is deployed yet" in one.why
    two, _ = runs.deploy_run(found, second, table, AT, root=ROOT, serving=serving())
    assert (two.decision, two.configuration_before, two.configuration_after) == (
        "deployed", one.configuration_after, serves(plane),
    )  # fmt: skip
    assert "with a confidence of 95 % between +0." in two.why
    asked = plane.requests.count("UpdateEndpoint")
    again, _ = runs.deploy_run(found, second, table, AT, root=ROOT, serving=serving())
    assert (again.decision, again.why) == (
        "same", "The endpoint churn-prediction-v3 serves this very model: nothing to deploy.",
    )  # fmt: skip
    worse, _ = runs.deploy_run(found, first, table, AT, root=ROOT, serving=serving())
    assert (worse.decision, worse.configuration_after) == ("kept", two.configuration_after)
    assert worse.why.endswith("; it may be 0.005 less.")
    below, _ = runs.deploy_run(found, first, table, AT, root=ROOT, serving=serving(), gate=Gate(floor=0.99))
    assert below.why.startswith("Its AUC is 0.") and below.why.endswith(": at least 0.99 is needed.")
    assert (serves(plane), plane.requests.count("UpdateEndpoint")) == (two.configuration_after, asked)
    # On other instances the same model is deployed again.
    larger, _ = runs.deploy_run(found, second, table, AT, root=ROOT, serving=serving(instance="ml.m5.xlarge"))
    assert (larger.decision, larger.configuration_before) == ("deployed", two.configuration_after)
    # All of it is in the row.
    row = two.row()
    assert set(row) == {field.name for field in dataclasses.fields(runs.ModelRun)}
    assert json.loads(row["measures"])["held_out"]["auc"] > json.loads(row["measures"])["held_out"]["deployed_auc"]
    assert (row["model_hash"] in row["artefact"], row["rows"], row["snapshot_date"]) == (True, 1000, DAY)


def test_the_gate_is_on_customers_that_neither_model_has_seen(plane, second, table):
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runs, "judge", lambda labels, *_: seen.append(len(labels)) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs.deploy_run(client(plane), second, table, AT, root=ROOT, serving=serving())
    assert seen == [second.held_out]
    few = table.slice(0, 9)
    with pytest.raises(RefusedError, match=r"Of the \d customers held out \d churned: models cannot be compared"):
        runs.deploy_run(client(plane), second, few, AT, root=ROOT, serving=serving())


def test_what_serves_must_be_able_to_score_the_snapshot(plane, first, table):
    runs.deploy_run(client(plane), first, table, AT, root=ROOT, serving=serving(), gate=OPEN)
    before, less = serves(plane), table.drop_columns(["plan"])
    run = runs.train_run(less, DAY, AT, root=ROOT)
    with pytest.raises(
        DeploymentError, match=r"no column plan, a feature of the model.*Bring back what it needs"
    ) as raised:
        runs.deploy_run(client(plane), run, less, AT, root=ROOT, serving=serving())
    # A run that failed is a row, too.
    assert raised.value.run == dataclasses.replace(run, decision="failed", why=str(raised.value), decided_at=AT)
    assert serves(plane) == before


FAILURES = {
    "rolled back": (
        Course(("Updating", "RollingBack"), takes=False, reason="One or more alarms went off."),
        r"^The endpoint churn-prediction-v3 did not take .*: One or more alarms went off\. It serves with .* as before",
    ),
    "failed": (Course(ends="Failed", takes=False, reason="No capacity."), "is Failed with .* No capacity"),
    "out of service": (Course(ends="OutOfService", takes=False), "is OutOfService .* no reason"),
    "both failed": (Course(ends="UpdateRollbackFailed", takes=False), "is UpdateRollbackFailed"),
    "stuck": (Course(("Updating",) * 100_000), r"is still Updating after 0\.2 seconds; .* SageMaker goes on by itself"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_update_that_fails_leaves_what_serves(plane, name):
    put(plane, 1)
    before, (course, says) = serves(plane), FAILURES[name]
    plane.courses.append(course)
    with pytest.raises(DeploymentError, match=says):
        put(plane, 2, seconds=0.2)
    assert serves(plane) == before
    settled = plane.endpoints["churn-prediction-v3"].status
    if settled == "InService":
        put(plane, 2)
        assert serves(plane) == serving().configuration(stored(2).hash)
    elif settled != "Updating":
        # A person is needed: it may serve yet, and is not deleted.
        with pytest.raises(DeploymentError, match=f"is {settled}.* It cannot be updated, and was not changed"):
            put(plane, 2)
        assert "DeleteEndpoint" not in plane.requests


def test_an_endpoint_that_never_came_up_is_made_anew(plane):
    plane.courses.append(Course(ends="Failed", takes=True, reason="The container did not answer /ping."))
    with pytest.raises(DeploymentError, match=r"could not be created: The container did not answer /ping\. Mend that"):
        put(plane, 1)
    put(plane, 2)
    assert serves(plane) == serving().configuration(stored(2).hash)


def test_what_another_run_has_begun_is_waited_for(plane):
    put(plane, 1)
    found = client(plane)
    before = deployed(found, serving())
    # Another run deploys, after this one has compared.
    put(plane, 2)
    with pytest.raises(DeploymentError, match="with which this model was not compared: another run was at work"):
        deploy(found, stored(3), serving(), before)
    # It is at work yet, or begins a moment before this one.
    plane.courses.append(Course(("Updating",) * 5))
    name, wanted = "churn-prediction-v3", serving().configuration(stored(1).hash)
    found.update_endpoint(EndpointName=name, EndpointConfigName=wanted)
    assert deployed(found, serving()) == Deployed(wanted, stored(1).hash)
    change = plane.answer

    def late(operation: str, asked: dict) -> dict:
        if operation == "UpdateEndpoint":
            change(operation, asked | {"EndpointConfigName": serving().configuration(stored(2).hash)})
        return change(operation, asked)

    plane.answer = late
    with pytest.raises(DeploymentError, match=r"Cannot update in-progress endpoint.* Run this again"):
        put(plane, 3)
    plane.answer = change
    put(plane, 3)
    assert serves(plane) == serving().configuration(stored(3).hash)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_run_within_another_is_not_deployed_over_or_is_told(plane, number):
    """Between any two requests of a deployment another run deploys, whole."""
    put(plane, 1)
    found, asked = client(plane), []
    compared, answer = deployed(found, serving()), plane.answer

    def meanwhile(operation: str, request: dict) -> dict:
        asked.append(operation)
        if len(asked) == number:
            plane.answer = answer
            put(plane, 2)
            plane.answer = meanwhile
        return answer(operation, request)

    second, third = (serving().configuration(stored(at).hash) for at in (2, 3))
    plane.answer = meanwhile
    try:
        done = deploy(found, stored(3), serving(), compared)
    except DeploymentError as error:
        assert "another run was at work" in str(error)
        assert second in str(error)
        assert serves(plane) == second
        assert asked[number - 1] != "UpdateEndpoint"
    else:
        # Nothing can be asked between the last look and the change, which takes the place of whatever serves.
        assert asked[number - 1] == "UpdateEndpoint"
        assert (done.before, done.after, serves(plane)) == (second, third, third)
        assert done.why.endswith(f"Another run had let it serve with {second} a moment before, which was not compared.")
    finally:
        plane.answer = answer


def test_two_deployments_at_once_end_in_one_of_both(plane):
    put(plane, 0)
    for number in range(1, 41, 2):
        compared, begun, found = deployed(client(plane), serving()), Barrier(2), {}
        plane.courses.extend([Course(("Updating",) * (number % 4))] * 2)

        def run(at: int, compared=compared, begun=begun, found=found) -> None:
            begun.wait()
            try:
                found[at] = deploy(client(plane), stored(at), serving(), compared)
            except DeploymentError as error:
                found[at] = str(error)

        with ThreadPoolExecutor() as pool:
            list(pool.map(run, (number, number + 1)))
        plane.courses.clear()
        assert plane.endpoints["churn-prediction-v3"].status == "InService"
        done = {at: one for at, one in found.items() if not isinstance(one, str)}
        now = {serving().configuration(stored(at).hash): at for at in found}
        # One serves, and says so; the other has served before it, or says that it was not deployed.
        last = now[serves(plane)]
        assert done[last].after == serves(plane)
        for at in set(done) - {last}:
            assert (done[last].before, done[at].before) == (done[at].after, compared.configuration)
        for at in set(found) - set(done):
            assert "another run was at work" in found[at] or "in-progress" in found[at]


REFUSED = {
    "throttled": ("ThrottlingException", "Rate exceeded", r"asked too often \(Thr.*\)\. Run this again later"),
    "quota": ("ResourceLimitExceeded", "The account-level limit is 0 Instances", "Ask for a higher quota of ml"),
    "right": ("AccessDeniedException", "User is not authorized", "Give this right to who runs the task"),
    "unknown": ("ExpiredTokenException", "The security token is expired", "connection aws_default"),
    "other": ("InternalFailure", "", "InternalFailure"),
}  # fmt: skip
OPERATIONS = ("DescribeEndpoint", "CreateModel", "CreateEndpointConfig", "DescribeEndpointConfig", "UpdateEndpoint")


@pytest.mark.parametrize("name", REFUSED)
def test_what_sagemaker_refuses_is_one_sentence_and_changes_nothing(plane, name):
    put(plane, 1)
    before, (code, message, says) = serves(plane), REFUSED[name]
    for number, operation in enumerate(OPERATIONS, start=2):
        plane.refuse(operation, code, message)
        with pytest.raises(DeploymentError, match=says) as raised:
            put(plane, number)
        assert "\n" not in str(raised.value)
        assert SECRET not in str(raised.value)
        assert serves(plane) == before
        # Again, and it finds what was made.
        put(plane, number)
        before = serves(plane)
        assert before == serving().configuration(stored(number).hash)


def test_who_asks_too_often_asks_again(plane):
    plane.refuse("CreateModel", "ThrottlingException", "Rate exceeded", times=1)
    deploy(client(plane, attempts=3), stored(1), serving(), None)
    assert serves(plane) == serving().configuration(stored(1).hash)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"role": ""}, "^PIPELINES_ENDPOINT_ROLE is not set"),
        ({"role": "arn:aws:iam::x"}, r"value: 14, valid min length: 20\. What serves was not changed\."),
        ({"role": "arn:aws:iam::churn:role/x"}, "role/x' at 'ExecutionRoleArn' failed to satisfy"),
        ({"endpoint": "churn_v3"}, "churn_v3' at 'EndpointName' failed to satisfy"),
        ({"endpoint": "c" * 38}, "it may have 37 characters"),
        ({"instance": "ml.m5.largest"}, "ml.m5.largest' at .*InstanceType' failed to satisfy"),
    ],
)
def test_settings_that_cannot_be_are_told(plane, change, says):
    with pytest.raises(DeploymentError, match=says):
        deploy(client(plane), stored(1), serving(**change), None)
    assert not plane.endpoints


def test_models_are_read_from_s3_and_must_be_there(plane, tmp_path):
    with pytest.raises(DeploymentError, match=r"^SageMaker reads models from S3, and this one is /"):
        deploy(client(plane), Stored(str(tmp_path), "0" * 64), serving(), None)
    plane.has_archive = lambda url: False
    with pytest.raises(DeploymentError, match=r"Could not find model data at s3://.* Look whether PIPELINES_MODELS_BU"):
        put(plane, 1)
    plane.has_archive = lambda url: True
    put(plane, 1)
    # The same model in another image is another model, and has no name left.
    with pytest.raises(DeploymentError, match=r"with Image .*3\.0-5, and now it is other:1"):
        put(plane, 1, image="other:1", instance="ml.m5.xlarge")


def test_alarms_roll_an_update_back(plane):
    put(plane, 1)
    put(plane, 2, alarms=("churn-errors", "churn-latency"))
    said = client(plane).describe_endpoint(EndpointName="churn-prediction-v3")["LastDeploymentConfig"]
    assert said["AutoRollbackConfiguration"] == {
        "Alarms": [{"AlarmName": "churn-errors"}, {"AlarmName": "churn-latency"}]
    }


def test_an_endpoint_of_somebody_else_is_left_alone(plane):
    found = client(plane)
    model = {"Image": "other:1", "ModelDataUrl": "s3://other/model.tar.gz"}
    found.create_model(ModelName="other", PrimaryContainer=model, ExecutionRoleArn=serving().role)
    found.create_endpoint_config(EndpointConfigName="other", ProductionVariants=[
        {"VariantName": "all", "ModelName": "other", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1},
    ])  # fmt: skip
    found.create_endpoint(EndpointName="churn-prediction-v3", EndpointConfigName="other")
    with pytest.raises(DeploymentError, match="serves with other, whose model is none of this pipeline"):
        deployed(found, serving())


def test_old_models_are_pruned_and_never_what_serves(plane):
    for number in range(1, 16):
        put(plane, number)
    put(plane, 2)
    client(plane).create_model(
        ModelName="churn-prediction-v3-of-somebody", ExecutionRoleArn=serving().role,
        PrimaryContainer={"Image": "other:1", "ModelDataUrl": "s3://other/model.tar.gz"},
    )  # fmt: skip
    plane.endpoints["churn-prediction-v3"].moving = True
    plane.endpoints["churn-prediction-v3"].left.extend(["Updating"] * 3)
    assert prune(client(plane), serving(kept=3)) == []
    plane.endpoints["churn-prediction-v3"].moving = False
    plane.endpoints["churn-prediction-v3"].status = "InService"
    assert len(prune(client(plane), serving(kept=3))) == 2 * 11
    kept = {serving().model(stored(number).hash) for number in (2, 13, 14, 15)}
    assert set(plane.models) == {*kept, "churn-prediction-v3-of-somebody"}
    assert {name[:-9] for name in plane.configurations} == kept
    assert prune(client(plane), serving(kept=3)) == []
    assert deployed(client(plane), serving()).hash == stored(2).hash


def test_what_another_run_deploys_anew_is_not_pruned(plane):
    for number in range(1, 6):
        put(plane, number)
    answer = plane.answer

    def meanwhile(operation: str, asked: dict) -> dict:
        if operation == "DeleteModel":
            plane.endpoints["churn-prediction-v3"].configuration = serving().configuration(stored(1).hash)
        return answer(operation, asked)

    plane.answer = meanwhile
    prune(client(plane), serving(kept=2))
    plane.answer = answer
    assert set(plane.models) == {serving().model(stored(number).hash) for number in (1, 4, 5)}


def test_what_cannot_be_pruned_fails_nothing(plane, first, table):
    plane.refuse("ListModels", "AccessDeniedException", "no")
    done, notes = runs.deploy_run(client(plane), first, table, AT, root=ROOT, serving=serving(), gate=OPEN)
    assert done.decision == "deployed"
    assert notes[0].startswith("Old models stay on SageMaker for now. SageMaker did not list what is old: Acc")


def test_a_store_that_is_not_there_or_not_whole_is_told(bucket, first, table, tmp_path):
    with pytest.raises(ChurnError, match=r"not stored in s3://no-models\. .*Set PIPELINES_MODELS_BUCKET to a bucket"):
        runs.train_run(table, DAY, AT, root="s3://no-models")
    with pytest.raises(ChurnError, match="is not there: the model was not stored, or was deleted"):
        load("0" * 64, ROOT)
    run = runs.train_run(table, DAY, AT, root=str(tmp_path))
    kept = {path.name: path.read_bytes() for path in (tmp_path / run.model_hash).iterdir()}
    assert set(kept) == {"churn_model_v3.tar.gz", "card.json", "card.html"}
    # Written last, so that where it is, all is.
    assert [*files(b"", load(run.model_hash, str(tmp_path)).card)][-1] == ARCHIVE
    assert runs.train_run(table, DAY, AT, root=str(tmp_path), former=run.model_hash) == run
    # Half of it, as after a kill, is completed; another model under this name is not taken.
    archive = tmp_path / run.model_hash / "churn_model_v3.tar.gz"
    archive.unlink()
    assert runs.train_run(table, DAY, AT, root=str(tmp_path)) == run
    assert archive.read_bytes() == kept["churn_model_v3.tar.gz"]
    body = bucket.client.get_object(Bucket="models", Key=f"{first.model_hash}/churn_model_v3.tar.gz")["Body"].read()
    archive.write_bytes(body)
    with pytest.raises(ChurnError, match="holds another model than its name says"):
        load(run.model_hash, str(tmp_path))


# A process that trains and deploys, and dies at a request, before it is sent or after it is answered.
KILLED = """
import os, signal, sys
import pyarrow.parquet as pq
from orchestration.churn import runs
from orchestration.churn.archive import ARCHIVE
from orchestration.events.objects import FolderObjects
from orchestration.churn.store import Stored
from support.churn import AT, DAY, client, serving

class Plane:
    address = sys.argv[1]

def die(before):
    if before == (sys.argv[6] == "True"):
        os.kill(os.getpid(), signal.SIGKILL)

count = 0
def at(operation, call):
    global count
    count += operation == sys.argv[4]
    now = operation == sys.argv[4] and count == int(sys.argv[5])
    if now: die(True)
    done = call()
    if now: die(False)
    return done

create = FolderObjects.create
FolderObjects.create = lambda self, path, content: at("Create", lambda: create(self, path, content))
Stored.archive = property(lambda self: f"s3://models/{self.hash}/churn_model_v3.tar.gz")
found = client(Plane)
ask = found._make_api_call
found._make_api_call = lambda operation, asked: at(operation, lambda: ask(operation, asked))
table, how = pq.read_table(sys.argv[2]), serving(kept=2)
run = runs.train_run(table, DAY, AT, root=sys.argv[3])
print(runs.deploy_run(found, run, table, AT, root=sys.argv[3], serving=how, gate=runs.Gate(0.5, 1))[0].decision)
"""
POINTS = [
    *(("Create", number, before) for number in (1, 2, 3) for before in (True, False)),
    *((name, 1, before) for name in ("CreateModel", "CreateEndpointConfig", "UpdateEndpoint", "DeleteEndpointConfig",
                                     "DeleteModel") for before in (True, False)),
    *(("DescribeEndpoint", number, False) for number in range(1, 8)),
]  # fmt: skip


def killed(plane, tmp_path: Path, monkeypatch, points: list[tuple[str, int, bool]]) -> None:
    """Kills a run at each of these points; what serves is then what served, or what it is to be; a rerun ends so."""
    monkeypatch.setattr(Stored, "archive", property(lambda self: f"{ROOT}/{self.hash}/{ARCHIVE}"))

    def run(seed: int) -> str:
        table = customers(800, seed)
        pq.write_table(table, tmp_path / "table.parquet")
        done = runs.train_run(table, DAY, AT, root=str(tmp_path))
        how = {"root": str(tmp_path), "serving": serving(kept=2), "gate": OPEN}
        return runs.deploy_run(client(plane), done, table, AT, **how)[0].decision

    for seed in (1, 2):
        run(seed)
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "tests/python")}
    for seed, point in enumerate(points, start=3):
        before = serves(plane)
        pq.write_table(customers(800, seed), tmp_path / "table.parquet")
        command = [sys.executable, "-c", KILLED, plane.address, str(tmp_path / "table.parquet"), str(tmp_path)]
        done = subprocess.run(
            [*command, *map(str, point)], cwd=PROJECT, env=environment, capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, (point, done.stderr.decode())
        between = serves(plane)
        assert run(seed) in ("deployed", "same"), point
        after = serves(plane)
        assert between in (before, after) and before != after, point
        # What is old is gone, what serves is there.
        assert len(plane.models) == 2 and plane.configurations[after], point


def test_a_run_that_is_killed_leaves_what_serves(plane, tmp_path, monkeypatch):
    killed(plane, tmp_path, monkeypatch, [("Create", 3, True), ("UpdateEndpoint", 1, False)])


@pytest.mark.long
def test_runs_that_are_killed_at_every_step(plane, tmp_path, monkeypatch):
    killed(plane, tmp_path, monkeypatch, POINTS)
