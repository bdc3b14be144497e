"""What people are told says enough, and what stands in a file cannot call people or pose as a link."""

import html
import shlex

import pytest

from orchestration.alerts import text as messages

pytestmark = pytest.mark.fast

TOTALS = {"received": 5012, "current": 4980, "superseded": 20, "rejected": 12, "held": 0}
HELD = {
    "source_file": "raw/sales/2024-01-05/sales_export.csv",
    "state": "held",
    "failed_check": "reject_rate",
    "source_record": None,
    "affected_rows": 700,
    "received_rows": 5000,
    "reason": "700 of 5000 rows are rejected",
}
REFUSED = HELD | {
    "state": "refused",
    "failed_check": "well_formed",
    "source_record": 17,
    "affected_rows": None,
    "received_rows": None,
    "reason": "an unclosed quote",
}


def failed(files=(), **changes):
    """A message of failure."""
    facts = {"problem": "it broke", "files": files, "log_url": "http://airflow/log", "advice": "mend it"}
    return messages.failed("sales", "load.daily_sales", "2024-01-05", **facts | changes)


def test_completed_says_what_was_loaded():
    text = messages.completed("daily_sales_etl_v2", "2024-01-05", [HELD], TOTALS, news=True)
    assert text.splitlines() == [
        "✅ DAG daily_sales_etl_v2 completed for 2024-01-05",
        "Loaded 1 file, rows: 5,012 received, 4,980 current, 20 superseded, 12 rejected",
    ]


def test_completed_says_that_there_was_nothing_to_do():
    text = messages.completed("daily_sales_etl_v2", "2024-01-05", [HELD, HELD], TOTALS, news=False)
    assert "\nNothing to do: no file is new or restated. Loaded before: 2 files" in text


def test_completed_says_that_the_warehouse_did_not_answer():
    text = messages.completed("daily_sales_etl_v2", "2024-01-05", None, {}, news=True)
    assert text.startswith("✅ DAG daily_sales_etl_v2 completed for 2024-01-05\nThe warehouse could not be asked")


def test_failed_names_file_check_rows_reason_and_what_to_do():
    assert failed([HELD, REFUSED]).splitlines() == [
        "❌ DAG sales failed for 2024-01-05",
        "Task: load.daily_sales",
        "Problem: it broke",
        "File held: raw/sales/2024-01-05/sales_export.csv. Check: reject_rate. Rows: 700 of 5,000.",
        "  Reason: 700 of 5000 rows are rejected",
        '  If it is right as it is: make release FILE=raw/sales/2024-01-05/sales_export.csv REASON="..."',
        "File refused: raw/sales/2024-01-05/sales_export.csv, record 17. Check: well_formed.",
        "  Reason: an unclosed quote",
        "Log: http://airflow/log",
        "What to do: mend it",
    ]


def test_the_command_to_release_a_file_can_be_typed():
    path = "raw/sales/2024-01-05/it's $(rm -rf /) `x`.csv"
    assert shlex.split(messages.release_command(path)) == ["make", "release", f"FILE={path}", "REASON=..."]
    assert messages.release_command("two\nlines.csv") is None


def test_failed_says_that_the_warehouse_did_not_answer():
    assert "The warehouse could not be asked which files are to be mended" in failed(None)


def test_a_message_stays_readable():
    text = failed([HELD] * 500, problem="x" * 10_000 + "\nTask: another")
    assert len(text) < 8_000
    assert "... and 480 more" in text
    assert text.count("\nTask: ") == 1


def test_data_cannot_call_people_or_make_links():
    name = "<!channel> @here <https://evil.example|your password> & https://evil.example"
    chat = messages.for_chat(failed([HELD | {"source_file": name}]), link="http://airflow/log")
    assert "<!" not in chat
    assert "@here" not in chat
    assert "https://" not in chat
    assert "&amp;" in chat
    assert chat.count("<") == 1
    assert "\nLog: <http://airflow/log>\n" in chat


def test_mail_is_html_that_shows_data_as_it_is():
    assert messages.for_mail("<b>1 & 2</b>") == "<pre>&lt;b&gt;1 &amp; 2&lt;/b&gt;</pre>"


def test_synced_names_each_table_with_its_news():
    rows = {"received": 1_200, "current": 1_000, "superseded": 150, "rejected": 50, "held": 0}
    told = messages.synced(
        "table_sync", "2024-01-05T10:00", {"orders": 2, "customers": 1}, {"orders": rows, "customers": None}
    )
    assert told == (
        "✅ DAG table_sync completed for 2024-01-05T10:00\n"
        "customers: 1 new file\n"
        "orders: 2 new files; rows now: 1,200 received, 1,000 current, 150 superseded, 50 rejected"
    )


def test_unusual_names_each_check_with_rows_and_what_shows_the_rest():
    results, found = {"b": "Got 1\nresult", "a": "x"}, {"b": [{"customer_id": "C\n7", "rows_without": "2"}]}
    kept = {
        "validate_orders": {"results": results, "rows": found},
        "check_freshness": {"results": {"c": "y"}, "rows": {}},
    }
    told = messages.unusual("table_sync", "2024-01-05T10:00", kept, "http://run")
    assert told.splitlines()[:9] == [
        "⚠️ DAG table_sync, run of 2024-01-05T10:00: its checks found what is unusual",
        "check_freshness, c: y",
        "  All of it: .venv/bin/dbt show --limit 1000 --output json --select c",
        "validate_orders, a: x",
        "  All of it: .venv/bin/dbt show --limit 1000 --output json --select a",
        "validate_orders, b: Got 1 result",
        "  customer_id=C 7, rows_without=2",
        "  All of it: .venv/bin/dbt show --limit 1000 --output json --select b",
        "Run: http://run",
    ]


def test_failed_names_the_rows_of_a_test():
    told = failed(found={"ledger_adds_up": [{"source_file": "a.csv", "received_rows": "2"}]})
    assert told.splitlines()[2:6] == [
        "Problem: it broke",
        "Test: ledger_adds_up",
        "  source_file=a.csv, received_rows=2",
        "  All of it: .venv/bin/dbt show --limit 1000 --output json --select ledger_adds_up",
    ]


def test_failed_without_a_task():
    text = messages.failed("sales", None, "2024-01-05", problem="x", files=[], log_url="l", advice="a")
    assert text.splitlines()[1] == "Problem: x"


FOLDER = "raw/sales/2024-01-05"
PATHS = [
    f"{FOLDER}/sales_export.csv",
    f"{FOLDER}/two  blanks.csv",
    f"{FOLDER}/it's $(rm -rf /) $HOME $$ ${{x}}.csv",
    f"{FOLDER}/<!channel> & <b>.csv",
    f"{FOLDER}/_a_ *b* ~c~ :smile: [bold].csv",
    f'{FOLDER}/"double" \\back\\ #hash % = , ; | ! ? äöü €.csv',
    f"{FOLDER}/{'long/' * 150}x.csv",
    f"{FOLDER}/me@home.csv",
    f"{FOLDER}/a://b.csv",
    f"{FOLDER}/`tick`.csv",
]


@pytest.mark.parametrize("path", PATHS)
def test_what_chat_shows_as_a_command_can_be_copied(path):
    """Slack shows what stands between backticks as it is, entities aside."""
    row = HELD | {"source_file": path}
    chat = messages.for_chat(failed([row]), "http://airflow/log", messages.commands([row]))
    [line] = [line for line in chat.splitlines() if line.startswith("  If it is right as it is: ")]
    shown = line.removeprefix("  If it is right as it is: ")
    if "@" in path or "://" in path or "`" in path:
        assert shown == messages.IN_THE_LOG
        assert "make release" not in chat
    else:
        assert shown[0] == shown[-1] == "`" and "`" not in shown[1:-1]
        copied = html.unescape(shown[1:-1])
        assert shlex.split(copied) == ["make", "release", f"FILE={path}", "REASON=..."]
    # Mail has every one.
    mail = html.unescape(messages.for_mail(failed([row])))
    assert messages.release_command(path) in mail.splitlines()[5]


def test_a_name_that_cannot_be_typed_says_so():
    for name in ("two\nlines.csv", "no\u200bwidth.csv", "re\u202everse.csv", "bell\a.csv"):
        text = failed([HELD | {"source_file": name}])
        assert "make release" not in text
        assert "  If it is right as it is: its name cannot be typed, so land it under another one." in text


def test_the_command_of_a_check_is_code_in_chat():
    told = messages.unusual("table_sync", "r", {"t": {"results": {"orders_are_new": "x"}, "rows": {}}}, "http://log")
    chat = messages.for_chat(told, "http://log", messages.commands(tests=["orders_are_new"]))
    assert "  All of it: `.venv/bin/dbt show --limit 1000 --output json --select orders_are_new`\n" in chat
