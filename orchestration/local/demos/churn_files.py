"""Demo customers with two months of sign-ins, tickets, payments and answers, the same bytes every time.

Some of them cancel in the 30 days after `SNAPSHOT`: the more likely, the less they use the product, the more it has
troubled them, and by chance. They land as files and, without a Kafka, as landed events.
"""

import csv
import io
import json
import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from orchestration.events import chain
from orchestration.events.chain import Generation, Record, Tail
from orchestration.events.objects import objects_at
from orchestration.local.demos.table_files import COUNTRIES
from orchestration.local.stand_ins.s3 import write_whole

TOPIC = "user.events.v1"
CUSTOMERS = 2_000
FIRST, SNAPSHOT, LAST = date(2024, 1, 1), date(2024, 1, 30), date(2024, 3, 1)
# How many days of facts are in one file.
DAYS = 10
FEATURES = ("page_viewed", "searched", "added_to_cart", "checked_out")
Row = dict[str, str]


class Customer:
    """What a customer does in two months; `rows` are those of each feed, each with the day on which it lands."""

    def __init__(self, number: int) -> None:
        random = Random(f"customer {number}")
        self.id = f"C{number:05}"
        self.rows: dict[str, list[tuple[date, Row]]] = {
            name: [] for name in ("customers", "support_tickets", "payments", "nps_responses")
        }
        self.events: list[tuple[datetime, str]] = []
        # How well the product suits them.
        self.suits = random.gauss(0, 1)
        self.signed_up = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=random.randrange(364), hours=9)
        self.country = random.choice(COUNTRIES)
        self._act(random, FIRST, SNAPSHOT)
        self.cancelled = self._cancels(random)
        self._act(random, SNAPSHOT + timedelta(days=1), LAST)
        self._land_customer(self.signed_up, FIRST)
        if self.cancelled:
            self._land_customer(self.cancelled, self.cancelled.date(), self.cancelled.isoformat())

    def _act(self, random: Random, first: date, last: date) -> None:
        often = 1 / (1 + math.exp(-self.suits))
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if random.random() < 0.02 + 0.12 * often:
                self._event(day, random, "signed_in")
                for feature in FEATURES:
                    if random.random() < 0.1 + 0.3 * often:
                        self._event(day, random, feature)
            if random.random() < 0.04 * (1 - often):
                self._row("support_tickets", day, random, "opened_at", {
                    "ticket_id": f"T-{self.id}-{day}", "severity": random.choice(("low", "normal", "high")),
                    "closed_at": "",
                })  # fmt: skip
            if day.day in (1, 15):
                self._row("payments", day, random, "paid_at", {
                    "payment_id": f"P-{self.id}-{day}", "amount": "20.00", "currency": "EUR",
                    "status": "failed" if random.random() < 0.2 * (1 - often) else "succeeded",
                })  # fmt: skip
            if day.day in (10, 25) and random.random() < 0.4:
                score = round(min(10, max(0, 7 + 2 * self.suits + random.gauss(0, 1.5))))
                self._row("nps_responses", day, random, "responded_at", {
                    "response_id": f"N-{self.id}-{day}", "score": str(score),
                })  # fmt: skip

    def _cancels(self, random: Random) -> datetime | None:
        """When the customer cancels, by what the snapshot will say of them and by chance."""
        ends = datetime.combine(SNAPSHOT + timedelta(days=1), datetime.min.time(), UTC)
        logins = [at for at, kind in self.events if kind == "signed_in"]
        days = (ends - max(logins)).days if logins else 30
        used = len({kind for _, kind in self.events} - {"signed_in"}) / len(FEATURES)
        failed = sum(row["status"] == "failed" for _, row in self.rows["payments"])
        tickets = len(self.rows["support_tickets"])
        # What troubles those who are hardly there does not trouble the others.
        odds = -3.0 + (3.5 * (tickets > 0) + 3 * (failed > 0) + 1 if days > 7 else -tickets) + 1.5 * (used < 0.6)
        if random.random() >= 1 / (1 + math.exp(-odds - random.gauss(0, 0.5))):
            return None
        return ends + timedelta(days=random.randrange(1, 29), seconds=random.randrange(86_400))

    def _event(self, day: date, random: Random, kind: str) -> None:
        at = _time(day, random)
        if not self._gone(at):
            self.events.append((at, kind))

    def _row(self, feed: str, day: date, random: Random, time: str, row: Row) -> None:
        at = _time(day, random)
        if not self._gone(at):
            told = at.isoformat()
            self.rows[feed].append((day, {"customer_id": self.id, time: told, "updated_at": told} | row))

    def _gone(self, at: datetime) -> bool:
        return bool(getattr(self, "cancelled", None)) and at >= self.cancelled

    def _land_customer(self, updated: datetime, day: date, cancelled: str = "") -> None:
        self.rows["customers"].append((day, {
            "customer_id": self.id, "name": f"Customer {self.id}", "email": f"{self.id.lower()}@example.com",
            "country": self.country, "signed_up_at": self.signed_up.isoformat(), "cancelled_at": cancelled,
            "updated_at": updated.isoformat(),
        }))  # fmt: skip


def write(folder: Path, count: int = CUSTOMERS) -> list[Path]:
    """Lands all files and events of so many customers in a folder; returns their paths."""
    customers = [Customer(number) for number in range(1, count + 1)]
    for feed in customers[0].rows:
        landed = sorted(((day, row) for one in customers for day, row in one.rows[feed]), key=lambda one: one[0])
        for last in _lasts():
            rows = [row for day, row in landed if last - timedelta(days=DAYS) < day <= last]
            if rows:
                write_whole(folder / f"raw/{feed}/{last}/00/{feed}.csv", _csv(rows))
    _write_events(folder, sorted((at, one.id, kind) for one in customers for at, kind in one.events))
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write_events(folder: Path, events: list[tuple[datetime, str, str]]) -> None:
    objects = objects_at(str(folder))
    generation = Generation(TOPIC, 0, None, "earliest", {0: 0}, started_at=f"{FIRST}T00:00:00+00:00")
    generation, end = chain.begin(objects, generation), Tail(0)
    for last in _lasts():
        records = []
        for number, (at, user, kind) in enumerate(events):
            if last - timedelta(days=DAYS) < at.date() <= last:
                value = {"event_id": f"E{number:08}", "user_id": user, "event_type": kind,
                         "event_timestamp": at.isoformat()}  # fmt: skip
                sent = int(at.timestamp() * 1000)
                records.append(Record(end.next + len(records), sent, user.encode(), json.dumps(value).encode(), None))
        # Where a session before has landed it, it stays.
        following = end.next + len(records)
        appended = chain.append(objects, generation, 0, end, records, following)
        end = appended or Tail(following)


def _lasts() -> list[date]:
    """The days on which files land, each with the facts since the one before."""
    days = range(0, (LAST - FIRST).days + DAYS, DAYS)
    return sorted(LAST - timedelta(days=number) for number in days if LAST - timedelta(days=number) >= FIRST)


def _time(day: date, random: Random) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=random.randrange(86_400))


def _csv(rows: Iterable[Row]) -> bytes:
    rows = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
