"""Demo events of users, the same bytes every time, for a topic of several partitions.

The log holds what a producer's log holds: events in about the order of their times, some that are sent twice, some that
come hours late, and not quite one in a hundred that cannot be used, in one of the ways of `BAD`.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from orchestration.local.stand_ins.broker import Event

TOPIC = "user.events.v1"
PARTITIONS = 4
FIRST = datetime(2024, 1, 5, 8, tzinfo=UTC)
TYPES = ("page_viewed", "searched", "added_to_cart", "checked_out", "signed_in", "signed_out")
USERS = 4_000
# The shares of events that are sent again, that are late, and that are bad.
AGAIN, LATE, BAD_SHARE = 0.02, 0.01, 0.008
# Ways in which an event cannot be used: the bytes that are sent in its place.
BAD = {
    "no JSON": b"page_viewed by user 17",
    "cut off": b'{"event_id": "E',
    "not UTF-8": b'{"event_id": "\xff\xfe"}',
    "not an object": b'["E1", "U1"]',
    "no value": None,
    "empty": b"",
    "no event_id": b'{"user_id": "U00001", "event_type": "searched", "event_timestamp": "2024-01-05T08:00:00Z"}',
    "event_id of another type": b'{"event_id": 7, "event_type": "searched", "event_timestamp": "2024-01-05T08:00:00Z"}',
    "no event_type": b'{"event_id": "bad-type", "user_id": "U00001", "event_timestamp": "2024-01-05T08:00:00Z"}',
    "event_timestamp of no calendar": (
        b'{"event_id": "bad-time", "event_type": "searched", "event_timestamp": "2024-02-30T08:00:00Z"}'
    ),
}


def events(count: int, seed: str = "events") -> Iterator[Event]:
    """So many events, one a tenth of a second: their partition, key, value, and the time at which they are sent.

    A user's events are in one partition. Another seed is another log, with other ids.
    """
    random = Random(seed)
    bad = list(BAD.values())
    sent: list[Event] = []
    for number in range(count):
        now = FIRST + timedelta(seconds=number / 10)
        sent_at = int(now.timestamp() * 1000)
        chance = random.random()
        if sent and chance < AGAIN:
            partition, key, value, _ = random.choice(sent)
        else:
            user = random.randrange(USERS)
            partition, key = user % PARTITIONS, f"U{user:05}".encode()
            if chance > 1 - BAD_SHARE:
                value = bad[number % len(bad)]
            else:
                late = timedelta(hours=random.uniform(1, 30)) if chance > 1 - BAD_SHARE - LATE else timedelta()
                value = _value(random, f"{seed}-{number:08}", key.decode(), now - late)
                # Enough to choose from.
                sent = [*sent[-99:], (partition, key, value, sent_at)]
        yield partition, key, value, sent_at


def _value(random: Random, event_id: str, user_id: str, time: datetime) -> bytes:
    event = {
        "event_id": event_id,
        "user_id": user_id,
        "event_type": random.choice(TYPES),
        "event_timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "properties": {"device": random.choice(("phone", "laptop", "tablet")), "seconds": random.randrange(600)},
    }
    return json.dumps(event).encode()
