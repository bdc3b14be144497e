"""A churn model: the same as XGBoost and scikit-learn give, the same twice, and what is refused."""

import csv as csv_files
import io
import json
import tarfile
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

from orchestration.churn import card as cards
from orchestration.churn.archive import ARCHIVE, FILE, packed, unpacked
from orchestration.churn.errors import ChurnError, RefusedError
from orchestration.churn.measures import difference
from orchestration.churn.prepared import Columns, prepare
from orchestration.churn.scoring import model as scoring_model
from orchestration.churn.scoring import scores
from orchestration.churn.table import read
from orchestration.churn.train import main
from orchestration.churn.training import in_holdout
from support.churn import customers, trained, with_column

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def table():
    return customers()


@pytest.fixture(scope="module")
def model(table):
    return trained(table)


def directly(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The labels and the scores of the test rows, by pandas, scikit-learn and xgboost alone."""
    frame = table.to_pandas().sort_values("customer_id")
    labels = frame["churned_flag"]
    frame = frame.drop(columns=["customer_id", "churned_flag", "snapshot_date"])
    frame["plan"] = frame["plan"].astype("category")
    train, test, of_train, of_test = train_test_split(frame, labels, test_size=0.2, random_state=42)
    classifier = XGBClassifier(
        n_estimators=500, max_depth=6, learning_rate=0.05, enable_categorical=True, n_jobs=1
    ).fit(train, of_train)
    return of_test.to_numpy(), classifier.predict_proba(test)[:, 1]


def test_measures_are_those_of_xgboost_and_scikit_learn_called_directly(table, model):
    labels, scores = directly(table)
    assert model.measures["model"] == pytest.approx(
        {
            "auc": roc_auc_score(labels, scores),
            "average_precision": average_precision_score(labels, scores),
            "log_loss": log_loss(labels, scores),
            "brier": brier_score_loss(labels, scores),
        },
        abs=1e-9,
    )
    assert model.measures["base_rate"]["auc"] == 0.5
    assert 0.5 < model.measures["logistic_regression"]["auc"] < 1


def test_the_same_table_in_any_order_gives_the_same_bytes(table, model):
    again = trained(table.take(np.random.default_rng(1).permutation(len(table))))
    assert (again.model, again.hash) == (model.model, model.hash)
    one, other = (cards.written(cards.card(of, "table")) for of in (model, again))
    assert one == other
    assert packed(model.model) == packed(again.model)
    other = trained(with_column(table, "support_tickets_30d", table["support_tickets_30d"].to_numpy() + 1))
    assert other.prepared.digest() != model.prepared.digest()


def test_the_archive_is_exactly_one_file(model):
    with tarfile.open(fileobj=io.BytesIO(packed(model.model))) as archive:
        (entry,) = archive.getmembers()
        assert (entry.name, entry.mtime, entry.uid, archive.extractfile(entry).read()) == (FILE, 0, 0, model.model)
    with pytest.raises(ChurnError, match=r"^x is no archive of a model"):
        unpacked(b"no archive", "x")


def test_a_tenth_is_never_trained_on(table):
    held = trained(table, hold_out=True)
    ids = held.prepared.ids.to_pylist()
    assert 0.07 < len(held.held_out) / len(ids) < 0.13
    parts = [set(part.tolist()) for part in (held.train, held.test, held.held_out)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(ids)
    # The same customers in every snapshot, whoever else is in it; and by a hash that is the same in every process.
    some = held.prepared.ids.slice(100, 50)
    assert in_holdout(some).tolist() == [at in parts[2] for at in range(100, 150)]
    assert in_holdout(pa.array(["C00013", "C00014", "C00015"])).tolist() == [False, True, False]


def test_the_uncertainty_of_a_difference_is_that_of_many_samples():
    random = np.random.default_rng(3)
    labels = (random.random(800) < 0.3).astype(int)
    new, old = labels + random.normal(size=800), labels + random.normal(size=800) * 1.3
    old[::7] = old[::7].round()
    found = difference(labels, new, old)
    assert (found.new, found.old) == pytest.approx((roc_auc_score(labels, new), roc_auc_score(labels, old)), abs=1e-12)
    samples = []
    for _ in range(400):
        rows = random.integers(0, 800, 800)
        samples.append(roc_auc_score(labels[rows], new[rows]) - roc_auc_score(labels[rows], old[rows]))
    assert found.error == pytest.approx(np.std(samples), rel=0.15)
    assert difference(labels, new, new).error == 0
    assert found.interval[0] < found.value < found.interval[1]


def refusals(table: pa.Table) -> dict[str, tuple[pa.Table, str]]:
    """Tables that cannot be trained on, and what is said of each."""
    count, labels = len(table), table["churned_flag"].to_numpy()
    texts = ["Yes" if label else "No" for label in labels]
    ids = table["customer_id"].to_pylist()
    return {
        "few rows": (table.slice(0, 50), r"has 50 rows: at least 200 are needed"),
        "one class": (with_column(table, "churned_flag", [0] * count), "Every row has churned_flag 0:"),
        "few churners": (with_column(table, "churned_flag", [1] * 5 + [0] * (count - 5)), "5 customers who churned"),
        "few others": (with_column(table, "churned_flag", [0] * 5 + [1] * (count - 5)), "5 customers who did not"),
        "yes and no": (with_column(table, "churned_flag", texts), r"values like 'No', 'Yes'\. Write 0 and 1"),
        "two": (with_column(table, "churned_flag", labels + (np.arange(count) == 3)), r"1 of 600 rows have .* like 2"),
        "no label": (with_column(table, "churned_flag", [None, *labels[1:]]), "1 of 600 rows have none"),
        "no column": (table.drop_columns(["churned_flag"]), r"no column churned_flag, the label\. Its columns are: "),
        "repeated id": (with_column(table, "customer_id", [ids[1], *ids[1:]]), f"1 of 600 .* the first is '{ids[1]}'"),
        "no id": (with_column(table, "customer_id", [None, *ids[1:]]), "1 of 600 rows have no customer_id"),
        "blank id": (with_column(table, "customer_id", [" ", *ids[1:]]), "1 of 600 rows have no customer_id"),
        "constant": (with_column(table, "plan", ["pro"] * count), "plan is constant: it is 'pro' in every row"),
        "unknown": (with_column(table, "plan", [None] * count), r"plan is constant: it is unknown in every row"),
        "infinite": (with_column(table, "feature_adoption_score", [np.inf, *range(1, count)]), "has infinite numbers"),
        "one feature": (table.select(["customer_id", "plan", "churned_flag"]), "two columns .* found: plan"),
        "two of a name": (table.append_column("plan", table["plan"]), "2 columns named plan"),
    }  # fmt: skip


NAMES = list(refusals(customers()))


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(table, name):
    bad, says = refusals(table)[name]
    with pytest.raises(RefusedError, match=says) as raised:
        prepare(bad)
    assert "\n" not in str(raised.value)


def test_a_table_is_compared_with_that_of_the_last_model(table, model):
    card = cards.card(model, "table")
    prepare(table, former=card)
    empty = [None if at % 3 else value for at, value in enumerate(table["feature_adoption_score"].to_pylist())]
    with pytest.raises(RefusedError, match="feature_adoption_score is unknown in 67% of the rows, and was in 0%"):
        prepare(with_column(table, "feature_adoption_score", empty), former=card)
    with pytest.raises(RefusedError, match="The feature plan of the last model is missing"):
        prepare(table.drop_columns(["plan"]), former=card)
    assert "plan" not in prepare(table.drop_columns(["plan"]), Columns(leave_out=["plan"]), former=card).nulls()
    named = Columns(features=("support_tickets_30d", "snapshot_date"))
    with pytest.raises(RefusedError, match="The feature snapshot_date is of the type date32"):
        prepare(table, named)


def test_a_table_with_all_sorts_of_columns_is_trained_on(tmp_path, capsys):
    """As a file of a billing system has them: blanks among numbers, dates, names, whole numbers as ids."""
    random, count = np.random.default_rng(5), 900
    rows = [
        {
            "customerID": number, "SeniorCitizen": number % 2, "Partner": ("Yes", "No")[number % 3 == 0],
            "tenure": int(random.integers(0, 70)), "TotalCharges": " " if number % 50 == 0 else f"{number / 7:.2f}",
            "Contract": ("Monthly", "One year", "")[number % 3], "Paperless": ("true", "false")[number % 2],
            "since": f"2020-01-{number % 28 + 1:02d}", "remark": f"customer, number {number}",
            "Score": "NA" if number % 9 == 0 else f"{random.random() * 10:.1e}",
        }
        for number in random.permutation(count).tolist()
    ]  # fmt: skip
    for row in rows:
        row["Churn"] = int(row["tenure"] + random.normal() * 20 < 20)
    file, out = tmp_path / "telco.csv", tmp_path / "out"
    with file.open("w", newline="") as lines:
        writer = csv_files.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    arguments = ["--id", "customerID", "--label", "Churn"]
    assert main(["--data", str(file), *arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    card = json.loads((out / "card.json").read_text())
    assert f"\nModel AUC: {card['measures']['model']['auc']:.4f}\n" in said
    assert card["left_out"] == {"since": "a text of dates", "remark": f"a text with {count} different values"}
    kinds = {feature["name"]: feature["categories"] for feature in card["features"]}
    assert (kinds["TotalCharges"], kinds["Score"], kinds["tenure"]) == (None, None, None)
    assert (kinds["Partner"], kinds["Contract"]) == (["No", "Yes"], ["Monthly", "One year"])
    nulls = {feature["name"]: feature["nulls"] for feature in card["features"]}
    assert (nulls["TotalCharges"], round(nulls["Contract"], 3)) == (0.02, 0.333)
    # Ids of whole numbers are put in order as numbers.
    assert prepare(read(file), Columns("customerID", "Churn")).ids.to_pylist() == [
        str(number) for number in range(count)
    ]
    # The same from Parquet, where decimals, booleans and dictionaries have types.
    typed = read(file)
    typed = with_column(typed, "tenure", [Decimal(value) for value in typed["tenure"].to_pylist()])
    typed = with_column(typed, "Partner", typed["Partner"].combine_chunks().dictionary_encode())
    pq.write_table(typed, tmp_path / "telco.parquet")
    assert main(["--data", str(tmp_path / "telco.parquet"), *arguments, "--out", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / ARCHIVE).read_bytes() == (out / ARCHIVE).read_bytes()


def telecom(count: int = 300) -> dict[str, list]:
    """Customers of a telecom company, as a well-known table has them."""
    random = np.random.default_rng(7)
    tenure = random.integers(0, 73, count).tolist()
    tenure[:3] = [0, 0, 0]

    def one_of(*values: str) -> list[str]:
        return random.choice(values, count).tolist()

    monthly = [round(value, 2) for value in random.uniform(18, 118, count).tolist()]
    return {
        "customerID": [f"{number:04}-ABCDE" for number in random.permutation(count).tolist()],
        "SeniorCitizen": random.integers(0, 2, count).tolist(), "Partner": one_of("Yes", "No"), "tenure": tenure,
        "MultipleLines": one_of("Yes", "No", "No phone service"),
        "Contract": one_of("Month-to-month", "One year", "Two year"), "MonthlyCharges": monthly,
        "TotalCharges": [str(round(a * b, 2)) if a else " " for a, b in zip(tenure, monthly, strict=True)],
        "Churn": [int(months + random.normal() * 20 < 25) for months in tenure],
    }  # fmt: skip


def as_csv(columns: dict[str, list], divider: str = ",", end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv_files.writer(text, delimiter=divider, lineterminator=end)
    writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    return text.getvalue().encode()


TELECOM = telecom()
COUNT = len(TELECOM["Churn"])
NUMBERS = [f"{number:.1f}" for number in range(COUNT)]


@pytest.mark.parametrize(
    ("changed", "left_out"),
    [
        ({}, {}),
        ({"since": NUMBERS}, {}),
        ({"since": [f"2020-01-{number % 28 + 1:02} 10:00" for number in range(COUNT)]}, {"since": "a text of dates"}),
        ({"e-mail": [f"{number}@example.com" for number in NUMBERS]}, {"e-mail": "a text with 300 different values"}),
        ({"price": [f"${number}" for number in NUMBERS]},
         {"price": "a text of numbers that are not written like 1234.5"}),
        ({"price": [number.replace(".", ",") for number in NUMBERS]},
         {"price": "a text of numbers that are not written like 1234.5"}),
        ({"": NUMBERS}, {'""': "the index of a data frame"}),
        ({"__index_level_0__": NUMBERS}, {"__index_level_0__": "the index of a data frame"}),
        ({"Partner": ["True", "False"] * (COUNT // 2)}, {}),
        # XGBoost itself takes no such names.
        ({"tenure [months]": NUMBERS, "a < b": NUMBERS, "Città, €": NUMBERS, "f0": NUMBERS, "a.b": NUMBERS}, {}),
    ],
)  # fmt: skip
def test_a_table_of_a_telecom_company_is_read_as_it_is_meant(tmp_path, changed, left_out):
    columns = TELECOM | changed
    ways = {
        "a.csv": as_csv(columns),
        "b.csv": b"\xef\xbb\xbf" + as_csv(columns, ";", "\r\n"),
        "c.CSV": as_csv(columns, "\t"),
        "d.parquet": None,
    }
    digests = set()
    for name, content in ways.items():
        file = tmp_path / name
        if content is None:
            pq.write_table(pa.table(columns), file)
        else:
            file.write_bytes(content)
        found = prepare(read(file), Columns("customerID", "Churn"))
        digests.add(found.digest())
        assert found.left_out == left_out
        kinds = {feature.name: feature.categories for feature in found.features}
        assert set(kinds) == set(columns) - {"customerID", "Churn", *left_out, ""}
        assert kinds["TotalCharges"] is kinds["SeniorCitizen"] is kinds["tenure"] is None
        assert kinds["Contract"] == ("Month-to-month", "One year", "Two year")
        assert found.nulls()["TotalCharges"] == sum(not months for months in TELECOM["tenure"]) / COUNT
    assert len(digests) == 1


def test_names_that_xgboost_refuses_are_trained_on_and_scored(tmp_path):
    odd = {"tenure": "tenure [months]", "Contract": "a < b", "Partner": "Città, €"}
    columns = {odd.get(name, name): values for name, values in TELECOM.items()}
    (tmp_path / "table.csv").write_bytes(as_csv(columns))
    arguments = ["--data", str(tmp_path / "table.csv"), "--id", "customerID", "--label", "Churn"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert {one["name"] for one in card["features"]} == set(columns) - {"customerID", "Churn"}
    assert card["importance"][0]["feature"] == "tenure [months]"
    content = unpacked((tmp_path / "out" / ARCHIVE).read_bytes(), "the archive")
    scored = scores(scoring_model(content, card, card["model"]["hash"]), read(tmp_path / "table.csv"), "customerID")
    assert "tenure [months]" in scored["reason_1"].to_pylist()


def test_types_of_parquet_are_numbers_or_categories_or_told(tmp_path):
    numbers, texts = range(COUNT), ["a", "b", "c"] * (COUNT // 3)
    columns = {
        "decimal": pa.array([Decimal(number) / 7 for number in numbers]),
        "wide": pa.array([Decimal(number) for number in numbers], pa.decimal256(50, 2)),
        "int8": pa.array([number % 100 for number in numbers], pa.int8()),
        "uint64": pa.array(numbers, pa.uint64()),
        "half": pa.array(np.arange(COUNT).astype(np.float16)),
        "null or integer": pa.array([None if number % 5 == 0 else number for number in numbers]),
        "bool": pa.array([None if number % 7 == 0 else number % 2 == 0 for number in numbers]),
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "dictionary": pa.array(texts).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        "numbers": pa.array([number % 3 for number in numbers]).dictionary_encode(),
    }
    none = {
        "date": pa.array(numbers, pa.date32()),
        "time": pa.array(numbers, pa.time64("us")),
        "dates": pa.array(numbers, pa.date32()).dictionary_encode(),
        "bytes": pa.array([b"a", b"b", b"c"] * (COUNT // 3)),
        "list": pa.array([[number] for number in numbers]),
        "struct": pa.array([{"a": number} for number in numbers]),
    }
    pq.write_table(pa.table(TELECOM | columns | none), tmp_path / "table.parquet")
    found = prepare(read(tmp_path / "table.parquet"), Columns("customerID", "Churn"))
    kinds = {feature.name: feature.categories for feature in found.features if feature.name in columns}
    assert set(kinds) == set(columns)
    assert {name for name, categories in kinds.items() if categories == ("a", "b", "c")} == {
        "large", "view", "dictionary",
    }  # fmt: skip
    assert set(found.left_out) == set(none)
    assert all(why.startswith("of the type ") for why in found.left_out.values())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"Churn": ["Yes", "No"] * (COUNT // 2)}, r"values like 'Yes', 'No'\. Write 0 and 1 in their place\.$"),
        ({"Churn": [[1]] * COUNT}, r"for one who did not; it is of the type list<.*>\.$"),
        ({"Churn": [None] * COUNT}, r"300 of 300 rows have none"),
        ({"customerID": [None] * COUNT}, r"^300 of 300 rows have no customerID"),
        ({"customerID": [{"a": 1}] * COUNT}, r"^The id customerID is of the type struct"),
        ({"tenure": ["inf", *NUMBERS[1:]]}, r"^The feature tenure has infinite numbers"),
        ({"tenure": ["-Infinity", *NUMBERS[1:]]}, r"^The feature tenure has infinite numbers"),
        ({"tenure": [1e300, *map(float, NUMBERS[1:])]}, r"^The feature tenure has infinite numbers, or such as are b"),
        (
            {"Count": [1] * COUNT},
            r"^The feature Count is constant: it is 1 in every row.*\(--leave-out Count, .*_OUT=Count\)\.$",
        ),
        ({"note": ["  "] * COUNT}, r"^The feature note is constant: it is unknown in every row\."),
    ],
)
def test_a_table_of_a_telecom_company_that_cannot_be_trained_on_is_refused(tmp_path, changed, says):
    pq.write_table(pa.table(TELECOM | changed), tmp_path / "table.parquet")
    with pytest.raises(RefusedError, match=says) as raised:
        prepare(read(tmp_path / "table.parquet"), Columns("customerID", "Churn"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", r"cannot be read: Empty CSV file\.$"),
        (b"id;a;a\n1;2;3\n", r"it has several columns named a\.$"),
        (b"id,a,b\n1,2,3\n1,2\n", r"cannot be read: CSV parse error: .*Expected 3 columns, got 2\.$"),
        ("id,a,bä\n1,2,3\n".encode("latin-1"), r"cannot be read: it is not UTF-8\.$"),
        ("id,a,b\n1,2,3\n4,5,ä\n".encode("latin-1"), r"cannot be read: it is not UTF-8\.$"),
    ],
)
def test_csv_that_cannot_be_read_is_told(tmp_path, text, says):
    (tmp_path / "table.csv").write_bytes(text)
    with pytest.raises(RefusedError, match=says) as raised:
        prepare(read(tmp_path / "table.csv"), Columns("id", "a"))
    assert "\n" not in str(raised.value)


def test_csv_may_be_divided_otherwise_and_compressed(table, tmp_path):
    frame = table.to_pandas()
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_csv(tmp_path / "other.csv.gz", index=False, sep=";", encoding="utf-8-sig")
    one, other = read(tmp_path / "table.csv"), read(tmp_path / "other.csv.gz")
    assert one.equals(other)
    assert prepare(one).digest() == prepare(table).digest()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--data", "none.parquet"], r"^The table none\.parquet cannot be read: there is no such file\.$"),
        (["--data", "broken.parquet"], r"^The table .*broken\.parquet cannot be read: "),
        (["--data", "table.xlsx"], r"its name must end in \.parquet, \.csv or \.csv\.gz\.$"),
        (["--label", "churn"], r"^The table has no column churn, the label\. Its columns are: customer_id, "),
        (["--label", "customer_id"], r"^The id and the label are both customer_id"),
        (["--leave-out", "plans"], r"^The table has no column plans, to be left out\."),
        (["--out", "file/below"], r"cannot be written: Not a directory\.$"),
    ],
)
def test_what_goes_wrong_is_one_sentence(table, tmp_path, capsys, monkeypatch, change, says):
    monkeypatch.chdir(tmp_path)
    pq.write_table(table, "table.parquet")
    for name in ("broken.parquet", "table.xlsx", "file"):
        (tmp_path / name).write_text("no table")
    given = ["--data", "table.parquet", "--id", "customer_id", "--label", "churned_flag", "--out", "out", *change]
    assert main(given) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(said.err.strip())


def test_the_page_needs_nothing_else_and_shows_texts_as_texts(table):
    from orchestration.churn.page import page

    evil = ["<script>alert(1)</script>" if plan == "pro" else plan for plan in table["plan"].to_pylist()]
    card = cards.card(trained(with_column(table, "plan", evil)), "a & b")
    text = page(card).decode()
    assert "<script" not in text
    assert "http" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<svg") == text.count("</svg>") == 2
    for measure in card["measures"]["model"].values():
        assert f"{measure:.4f}" in text
