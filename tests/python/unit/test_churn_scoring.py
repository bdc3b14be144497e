"""Scores, their reasons and their drift; the local endpoint gives the same, from the archive alone."""

import urllib.error
import urllib.request

import numpy as np
import pyarrow as pa
import pytest

from orchestration.churn import card as cards
from orchestration.churn import runs
from orchestration.churn.archive import packed
from orchestration.churn.drift import SCORES, index
from orchestration.churn.errors import ChurnError, RefusedError
from orchestration.churn.scoring import csv, encoded, model, probabilities, scores
from orchestration.local.errors import LocalError
from orchestration.local.stand_ins.endpoint import endpoint
from support.churn import customers, trained, with_column


@pytest.fixture(scope="module")
def table():
    return customers()


@pytest.fixture(scope="module")
def made(table):
    found = trained(table)
    return found, model(found.model, cards.card(found, "table"), found.hash)


def send(address: str, body: str, path: str = "/invocations", content_type: str = "text/csv") -> tuple[int, str]:
    """What the endpoint answers."""
    request = urllib.request.Request(f"{address}{path}", body.encode(), {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_local_endpoint_gives_what_the_trainer_gives(table, made, tmp_path):
    found, model = made
    (tmp_path / "model.tar.gz").write_bytes(packed(found.model))
    with endpoint(tmp_path / "model.tar.gz") as serving:
        (tmp_path / "model.tar.gz").unlink()
        with urllib.request.urlopen(f"{serving.address}/ping", timeout=10) as ping:
            assert ping.status == 200
        status, text = send(serving.address, csv(found.prepared.numbers[found.test]))
        assert status == 200
        assert np.abs(np.array(text.split(","), dtype=float) - found.scores).max() < 1e-6
        # Written by hand, as the card says.
        row = table.slice(3, 1).to_pylist()[0]
        listed = {one["name"]: one["categories"] for one in model.card["features"]}
        values = [row[name] if kinds is None else kinds.index(row[name]) for name, kinds in listed.items()]
        by_hand = float(send(serving.address, ",".join("" if value is None else str(value) for value in values))[1])
        assert by_hand == pytest.approx(scores(model, table.slice(3, 1))["probability"][0].as_py(), abs=1e-6)
        assert {plan: code for code, plan in enumerate(listed["plan"])} == {"basic": 0, "pro": 1, "team": 2}
        # A customer of whom nothing is known, and one by itself.
        for row in (np.full((1, 4), np.nan, np.float32), encoded(model, table.slice(7, 1))):
            assert float(send(serving.address, csv(row) + "\n")[1]) == pytest.approx(
                probabilities(model, row)[0], abs=1e-6
            )
        assert send(serving.address, "basic,1,2,3") == (
            415, "This is no text/csv of numbers: could not convert string to float: 'basic'",
        )  # fmt: skip
        assert send(serving.address, "1,2,3,4,5")[0] == 400
        assert send(serving.address, "{}", content_type="application/json")[0] == 415
        assert send(serving.address, "1,2,3,4", path="/elsewhere")[0] == 404
        assert send(serving.address, "")[0] == 204
    (tmp_path / "other.tar.gz").write_bytes(packed(b"no model"))
    with pytest.raises(LocalError, match="is no model of XGBoost"), endpoint(tmp_path / "other.tar.gz"):
        pass


def test_each_customer_has_a_probability_and_three_reasons(table, made):
    found, model = made
    scored = scores(model, table)
    assert scored["customer_id"].to_pylist() == sorted(table["customer_id"].to_pylist())
    assert set(scored["model_hash"].to_pylist()) == {found.hash}
    assert np.abs(scored["probability"].to_numpy()[found.test] - found.scores).max() < 1e-6
    moved = np.abs(np.column_stack([scored[f"moved_{rank}"].to_numpy() for rank in (1, 2, 3)]))
    assert (np.diff(moved, axis=1) <= 0).all()
    # Of four features the three that moved it most all but add up to the whole.
    reasons = [set(row.values()) for row in scored.select(["reason_1", "reason_2", "reason_3"]).to_pylist()]
    assert all(len(row) == 3 and row <= {one["name"] for one in model.card["features"]} for row in reasons)
    first = scored["reason_1"].to_pylist()
    at = first.index("feature_adoption_score")
    # What moved one up or down: another value of it, and all else the same, moves the score the other way.
    customer = table.filter(pa.compute.equal(table["customer_id"], scored["customer_id"][at]))
    up = scored["moved_1"][at].as_py() > 0
    other = scores(model, with_column(customer, "feature_adoption_score", [1.0 if up else 0.0]))
    assert (other["probability"][0].as_py() < scored["probability"][at].as_py()) is up


def test_a_table_is_scored_by_the_names_of_its_columns_not_by_their_places(table, made):
    _, model = made
    table = table.slice(0, 50)
    mixed = table.select(table.column_names[::-1])
    assert scores(model, mixed).equals(scores(model, table))
    with pytest.raises(RefusedError, match="has no column plan, a feature of the model"):
        scores(model, table.drop_columns(["plan"]))
    with pytest.raises(RefusedError, match="The feature support_tickets_30d must be a number, and has values like 'x'"):
        scores(model, with_column(table, "support_tickets_30d", ["x"] * len(table)))
    # A category that the model has not seen is unknown to it.
    new, unknown = (scores(model, with_column(table, "plan", pa.array([plan] * len(table), pa.string())))
                    for plan in ("gold", None))  # fmt: skip
    assert new.equals(unknown)


def test_a_card_of_another_model_is_not_taken(table, made):
    found, model_made = made
    other = trained(with_column(table, "more", np.arange(len(table)) % 7))
    with pytest.raises(ChurnError, match=r"is not its own: .* lists 4 features, and the model has 5"):
        model(other.model, model_made.card, other.hash)
    with pytest.raises(ChurnError, match="is none that XGBoost"):
        model(b"no model", model_made.card, found.hash)
    with pytest.raises(ChurnError, match=r"^x is no card of a model\."):
        cards.read(b"[]", "x")
    with pytest.raises(ChurnError, match=r"^x is a card of format 2, and 1 is read here"):
        cards.read(b'{"format": 2}', "x")


def test_drift_is_told_by_column(table, made, tmp_path, monkeypatch):
    _, model = made
    monkeypatch.setattr(runs, "load", lambda *_: model)
    kept = model.card["reference"]["features"]["days_since_last_login"]["shares"]
    assert kept[-1] == pytest.approx(table["days_since_last_login"].null_count / len(table))
    same = runs.drift_run(table, "")
    assert [drift.warning for drift in same] == [None] * 5
    # Exactly none of the features has moved; scores are compared with those of rows that were not trained on.
    assert max(drift.index for drift in same if drift.column != SCORES) == pytest.approx(0, abs=1e-9)
    later = with_column(table, "days_since_last_login", table["days_since_last_login"].to_numpy() / 3)
    later = with_column(later, "plan", [None if at % 2 else plan for at, plan in enumerate(table["plan"].to_pylist())])
    found = {drift.column: drift for drift in runs.drift_run(later, "")}
    told = {name for name, drift in found.items() if drift.warning}
    assert {"days_since_last_login", "plan"} <= told
    assert not told & {"support_tickets_30d", "feature_adoption_score"}
    assert found["plan"].warning == (
        f"plan has moved since the serving model was trained: population stability index {found['plan'].index:.2f}."
    )


def test_chance_is_no_drift(monkeypatch):
    """Few customers differ from others; and of whom it was trained on the model is too sure."""
    noisy = customers(1500, noise=20)
    found = trained(noisy, hold_out=True)
    model_made = model(found.model, cards.card(found, "table"), found.hash)
    monkeypatch.setattr(runs, "load", lambda *_: model_made)
    for seed in range(5):
        few = noisy.take(np.random.default_rng(seed).permutation(len(noisy))[:400])
        assert [drift.warning for drift in runs.drift_run(few, "")] == [None] * 5
    monkeypatch.setattr(runs, "drifts", lambda _kept, numbers, _features, scored, _limit: (len(numbers), len(scored)))
    assert runs.drift_run(noisy, "") == (1500, len(found.held_out))


def test_the_index_is_that_of_the_book():
    by_hand = 0.1 * np.log(1.2) - 0.1 * np.log(0.8)
    assert index([0.5, 0.5], [0.6, 0.4], 100, 100) == pytest.approx(by_hand)
    assert index([1, 0], [1, 0], 100, 100) == 0
    # An empty bin counts as half a customer.
    of_empty = -0.5 * np.log(0.5) + 0.49 * np.log(0.5 / 0.01)
    assert index([1, 0], [0.5, 0.5], 50, 100) == pytest.approx(of_empty)
