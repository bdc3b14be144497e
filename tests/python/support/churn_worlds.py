"""Worlds of customers: what they did, when each of it became known, and the features that follow, in plain Python.

A fact has happened at a time, and each of its versions has become known at one. Many worlds share a warehouse, each
with ids of its own. The times are those at which something changes: ends of snapshots, edges of windows before them.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from orchestration.events import chain
from orchestration.events.chain import Generation, Record, Tail
from orchestration.events.objects import objects_at
from support.reference import PROJECT

FIRST, LAST = date(2024, 3, 10), date(2024, 3, 15)
SNAPSHOTS = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
# Files of customers have come up to this day: of the last three snapshots nobody knows who churned.
KNOWN_TO = date(2024, 4, 12)
FILES = {"customers": (date(2024, 3, 31), KNOWN_TO), None: (date(2024, 3, 31), date(2024, 5, 1))}
FEATURES = frozenset((PROJECT / "seeds" / "features.csv").read_text().split()[1:])
KINDS = (*sorted(FEATURES), "signed_in", "signed_out")
TIMES = {"customers": "signed_up_at", "support_tickets": "opened_at", "payments": "paid_at",
         "nps_responses": "responded_at"}  # fmt: skip
KEYS = {"customers": "customer_id", "support_tickets": "ticket_id", "payments": "payment_id",
        "nps_responses": "response_id"}  # fmt: skip
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True)
class Version:
    """What a file says of a thing: that it has happened at a time, and that this has been so since `known`."""

    feed: str
    key: str
    known: datetime
    happened: datetime
    customer: str = ""
    deleted: bool = False
    # Cancellation of a customer; status of a payment; score of an answer.
    said: object = None


@dataclass(frozen=True)
class Event:
    """What a user did; `sent` is None in a log without times."""

    key: str
    user: str
    kind: str
    happened: datetime
    sent: datetime | None

    @property
    def known(self) -> datetime:
        return self.sent or self.happened


Fact = Version | Event


def end(snapshot: date) -> datetime:
    """The moment behind a snapshot."""
    return datetime.combine(snapshot, time()) + DAY


# Before, nothing was known but customers: in the first snapshot all else is unknown.
LEARNT = end(FIRST)


def world(name: str, random: Random) -> list[Fact]:
    """A few customers, and what they did."""
    customers = [f"{name}-{number}" for number in range(4)]
    facts: list[Fact] = []
    for customer in customers:
        facts += _versions(random, "customers", customer, customers, _moment(random, early=0.8))
    for feed, count in (("support_tickets", 5), ("payments", 5), ("nps_responses", 4)):
        for number in range(random.randint(0, count)):
            facts += _versions(random, feed, f"{name}-{feed[0]}{number}", customers, _moment(random))
    for number in range(random.randint(0, 16)):
        happened = _moment(random)
        event = Event(f"{name}-e{number}", random.choice(customers), random.choice(KINDS), happened, None)
        for _ in range(random.choice((1, 1, 2))):
            late = random.choice((timedelta(), timedelta(), SECOND, DAY, 3 * DAY, -DAY, -DAY))
            sent = max(happened + late, LEARNT)
            facts.append(replace(event, sent=random.choice((None, sent)) if happened >= LEARNT else sent))
    return facts


def changed_later(facts: Sequence[Fact], random: Random, moment: datetime, name: str) -> list[Fact]:
    """The same world, but that what happened or became known from a moment on is moved, deleted, or other things."""
    # What was known to happen later was known.
    before = [fact for fact in facts if fact.known < moment and (isinstance(fact, Version) or fact.happened < moment)]
    taken = {(fact.feed, fact.key, fact.known) for fact in before if isinstance(fact, Version)}
    later = []
    for fact in [*(fact for fact in facts if fact not in before), *world(f"{name}-later", random),
                 # Other versions of what was known before.
                 *(replace(fact, happened=_moment(random), said=_said(random, fact.feed)) for fact in before
                   if isinstance(fact, Version))]:  # fmt: skip
        moved = random.choice((moment, moment + SECOND, moment + random.randrange(20) * DAY))
        if isinstance(fact, Event):
            later.append(replace(fact, key=f"{fact.key}x", happened=moved, sent=random.choice((None, moved))))
            later.append(replace(fact, key=f"{fact.key}y", sent=moved))
        elif random.random() < 0.7 and (fact.feed, fact.key, moved) not in taken:
            taken.add((fact.feed, fact.key, moved))
            later.append(_valid(replace(fact, known=moved, deleted=random.random() < 0.3)))
    return before + later


def features(worlds: Iterable[Sequence[Fact]]) -> dict[tuple[date, str], tuple]:
    """What must come of all worlds, by snapshot and customer: the columns of features, then the label."""
    facts = [fact for one in worlds for fact in one]
    return {
        (snapshot, customer): (*found, _label(facts, snapshot, customer))
        for snapshot in SNAPSHOTS
        for customer, found in _snapshot(facts, end(snapshot)).items()
    }


def _snapshot(facts: Sequence[Fact], moment: datetime) -> dict[str, tuple]:
    """The features at a moment, of what had happened and was known before it."""
    events = [fact for fact in facts if isinstance(fact, Event) and fact.known < moment and fact.happened < moment]
    last: dict[tuple[str, str], Version] = {}
    for fact in facts:
        if isinstance(fact, Version) and fact.known < moment:
            one = last.get((fact.feed, fact.key))
            if one is None or one.known < fact.known:
                last[fact.feed, fact.key] = fact
    there = [one for one in last.values() if not one.deleted and one.happened < moment]
    of = defaultdict(list)
    for one in there:
        of[one.feed].append(one)
    found = {}
    for customer in of["customers"]:
        if customer.said and customer.said < moment:
            continue
        mine = [event for event in events if event.user == customer.key]
        logins = [event.happened for event in mine if event.kind == "signed_in"]
        used = {event.kind for event in mine if event.happened >= moment - 30 * DAY} & FEATURES
        tickets = [one for one in of["support_tickets"] if one.customer == customer.key]
        failed = [one for one in of["payments"] if one.customer == customer.key and one.said == "failed"]
        answers = [one for one in of["nps_responses"] if one.customer == customer.key]
        found[customer.key] = (
            ((moment - DAY).date() - max(logins).date()).days if logins else None,
            sum(one.happened >= moment - 30 * DAY for one in tickets) if of["support_tickets"] else None,
            Decimal(len(used)) / len(FEATURES) if events else None,
            sum(one.happened >= moment - 90 * DAY for one in failed) if of["payments"] else None,
            max(answers, key=lambda one: (one.happened, one.key)).said if answers else None,
        )
    return found


def _label(facts: Sequence[Fact], snapshot: date, customer: str) -> int | None:
    if snapshot + 30 * DAY >= KNOWN_TO:
        return None
    versions = [one for one in facts if isinstance(one, Version) and (one.feed, one.key) == ("customers", customer)]
    cancelled = max(versions, key=lambda one: one.known).said
    return int(cancelled is not None and end(snapshot) <= cancelled < end(snapshot) + 30 * DAY)


def _versions(random: Random, feed: str, key: str, customers: Sequence[str], happened: datetime) -> list[Version]:
    """One to three versions of a thing, known at different times."""
    known = {happened if random.random() < 0.5 else _moment(random) for _ in range(random.choice((1, 1, 2, 3)))}
    if feed != "customers":
        known = {max(at, LEARNT) for at in known}
    versions = []
    for at in sorted(known):
        told = happened if random.random() < 0.8 else _moment(random)
        customer = "" if feed == "customers" else random.choice(customers)
        deleted = bool(versions) and random.random() < 0.15
        versions.append(_valid(Version(feed, key, at, told, customer, deleted, _said(random, feed))))
    return versions


def _said(random: Random, feed: str) -> object:
    if feed == "customers":
        edge = end(random.choice(SNAPSHOTS)) + random.choice((0, 1, 29, 30, 31)) * DAY
        return random.choice((None, None, edge, edge - SECOND, _moment(random)))
    return {"payments": random.choice(("failed", "failed", "succeeded", "refunded")),
            "nps_responses": random.randint(0, 10)}.get(feed)  # fmt: skip


def _valid(version: Version) -> Version:
    """Nobody cancels before he has signed up."""
    too_early = version.feed == "customers" and version.said and version.said < version.happened
    return replace(version, said=None) if too_early else version


def _moment(random: Random, early: float = 0.0) -> datetime:
    """A time near the edge of something, most often; with `early` one long before all snapshots that often."""
    if random.random() < early:
        return end(date(2023, 6, 1)) + random.randrange(86_400) * SECOND
    edge = end(random.choice(SNAPSHOTS)) - random.choice((0, 0, 0, 1, 30, 30, 31, 90)) * DAY
    return edge + random.choice((-1, 0, 1, -3600, 7200, random.randrange(86_400))) * SECOND


def land(root: Path, worlds: Iterable[Sequence[Fact]], random: Random) -> dict[str, bytes]:
    """Lands the events of all worlds below a landing root; returns the files of all else, by path."""
    facts = [fact for one in worlds for fact in one]
    random.shuffle(facts)
    rows: dict[tuple[str, date], list[dict]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, Version):
            dates = FILES.get(fact.feed, FILES[None])
            latest = max(fact.known, fact.happened if fact.feed != "customers" else fact.known)
            rows[fact.feed, random.choice([day for day in dates if latest < end(day) + DAY])].append(_row(fact))
    events = [fact for fact in facts if isinstance(fact, Event)]
    records = [
        Record(number, _milliseconds(event.sent), None, json.dumps({
            "event_id": event.key, "user_id": event.user, "event_type": event.kind,
            "event_timestamp": f"{event.happened.isoformat()}Z",
        }).encode(), None)
        for number, event in enumerate(events)
    ]  # fmt: skip
    objects = objects_at(str(root))
    begun = chain.begin(objects, Generation("user.events.v1", 0, None, "earliest", {0: 0}, started_at="then"))
    chain.append(objects, begun, 0, Tail(0), records, len(records))
    return {f"raw/{feed}/{day}/00/{feed}.csv": _csv(found) for (feed, day), found in rows.items()}


def _row(version: Version) -> dict[str, object]:
    row = {KEYS[version.feed]: version.key, TIMES[version.feed]: version.happened.isoformat(),
           "updated_at": version.known.isoformat(), "is_deleted": str(version.deleted).lower()}  # fmt: skip
    if version.feed == "customers":
        cancelled = version.said.isoformat() if version.said else ""
        return row | {"name": "Ann", "email": "a@example.com", "country": "GB", "cancelled_at": cancelled}
    rest = {
        "support_tickets": {"severity": "low", "closed_at": ""},
        "payments": {"amount": "1.00", "currency": "EUR", "status": version.said},
        "nps_responses": {"score": version.said},
    }[version.feed]
    return row | {"customer_id": version.customer} | rest


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.replace(tzinfo=UTC).timestamp() * 1000)


def _csv(rows: Sequence[dict]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
