"""A topic as it is on the brokers: its id, its partitions, their records. Errors are sentences without secrets."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from orchestration.events.chain import Record
from orchestration.events.errors import EventsError, SettingsError

log = logging.getLogger(__name__)

# What librdkafka calls its settings that nobody may read.
SECRET = re.compile(r"password|secret|token|\.pem$|oauthbearer\.config|assertion|sasl\.username", re.IGNORECASE)
# What keeps a read from losing anything, whatever else is set.
OURS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
}
# What went wrong on its way is noticed, what is fetched ahead fits into memory, and no request waits long at the end of
# one partition, for it holds up the next one.
DEFAULTS = {
    "group.id": "landing-zone",
    "check.crcs": True,
    "queued.max.messages.kbytes": 65536,
    "fetch.wait.max.ms": 10,
}
# One object holds at most about so many bytes of keys and values.
MOST_BYTES = 32 << 20
# What librdkafka's client gives in one call.
MOST_AT_ONCE = 1_000_000
# What lands in the place of headers of which a name is not UTF-8.
UNREADABLE = "(headers with a name that is not UTF-8)"
# How long a call to librdkafka waits, so that it is never long until a deadline is seen.
POLL_SECONDS = 0.25
REFUSED = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL)
NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
OUT_OF_REACH = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)
UNKNOWN = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


@dataclass(frozen=True)
class Batch:
    """The committed records of [first, next), which may have holes; `ended` if there are no more for now."""

    records: Sequence[Record]
    next: int
    ended: bool


class Broker:
    """One topic, read by assigned partitions. The consumer group is only told how far what is landed has come."""

    def __init__(self, settings: Mapping[str, object], topic: str, patience: float):
        """`settings` are librdkafka's, with at least `bootstrap.servers`; `patience` is how many seconds an answer is
        waited for. A `SettingsError` says which setting librdkafka does not take."""
        self.settings, self.topic, self.patience = settings, topic, patience
        self.address = settings.get("bootstrap.servers")
        self.heard: KafkaError | None = None
        self.assigned: int | None = None
        self.position = 0
        # What it logs by itself would go to the terminal, beside the error that says the same.
        self.client = {"error_cb": self._hear, **settings}
        try:
            self.consumer = Consumer({**DEFAULTS, **self.client, **OURS}, logger=log)
        except (KafkaException, TypeError, ValueError) as error:
            raise SettingsError(f"The settings of the connection to Kafka cannot be: {self._said(error)}.") from None

    def close(self) -> None:
        """Ends the connections."""
        self.consumer.close()

    def partitions(self) -> list[int]:
        """The numbers of the topic's partitions."""
        with self._plain(f"say what topic {self.topic} is"):
            found = self.consumer.list_topics(self.topic, timeout=self.patience).topics[self.topic]
            if found.error:
                raise KafkaException(found.error)
        return sorted(found.partitions)

    def topic_id(self) -> str | None:
        """The id that a topic has until it is deleted, None if the broker is too old to tell."""
        admin = AdminClient(self.client, logger=log)
        with self._plain(f"say which id topic {self.topic} has"):
            asked = admin.describe_topics(TopicCollection([self.topic]), request_timeout=self.patience)
            try:
                found = str(asked[self.topic].result().topic_id)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:
                    raise
                return None
        # Of 16 zero bytes: what a broker says that has no ids.
        return None if set(found) <= {"A"} else found

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset that is there, and the one that the next record gets."""
        with self._plain(f"say which offsets topic {self.topic} has in partition {partition}"):
            return self.consumer.get_watermark_offsets(self._at(partition), timeout=self.patience)

    def first_records(self, offsets: Mapping[int, int]) -> dict[int, Record]:
        """The first record of each partition at or after an offset, for partitions that have one."""
        found: dict[int, Record] = {}
        if not offsets:
            return found
        waiting = dict(offsets)
        self._assign(waiting)
        for message in self._messages(waiting):
            partition = message.partition()
            if partition in waiting:
                del waiting[partition]
                self.consumer.incremental_unassign([self._at(partition)])
                if message.error() is None:
                    found[partition] = _record(message)
            if not waiting:
                break
        return found

    def read(self, partition: int, first: int, until: int, most: int, deadline: float) -> Batch:
        """The records of a partition from an offset on, `until` excluded, at most so many and before a deadline.

        `deadline` is one of `time.monotonic()`. A broker that says nothing for long is an `EventsError`: silence is
        not the end of a log.
        """
        if self.assigned != partition or self.position != first:
            self._assign({partition: first})
        # Until this has come to its end nobody knows where the consumer stands.
        self.assigned = None
        records: list[Record] = []
        position, size = first, 0
        while len(records) < most and size < MOST_BYTES and position < until:
            if time.monotonic() >= deadline:
                break
            # It waits until it has them all: never ask for more than is there.
            wanted = min(most - len(records), until - position, MOST_AT_ONCE)
            for message in self._messages({partition: position}, wanted, deadline):
                if message.partition() != partition:
                    continue
                offset = message.offset()
                if message.error() is not None or offset >= until:
                    # All before it has been read: offsets without a record are aborted, or a transaction's own. What
                    # comes now was fetched beyond the end.
                    return Batch(records, max(position, until if message.error() is None else offset), ended=True)
                record = _record(message)
                records.append(record)
                size += len(record.key or b"") + len(record.value or b"")
                position = offset + 1
        if position < until:
            self.assigned, self.position = partition, position
        return Batch(records, position, ended=position >= until)

    def commit(self, offsets: Mapping[int, int]) -> str | None:
        """Tells the group how far the chain of each partition has come, and waits until it knows.

        Returns what hinders that, None if nothing does.
        """
        try:
            told = self.consumer.commit(offsets=[self._at(*one) for one in offsets.items()], asynchronous=False)
            errors = [one.error for one in told if one.error]
        except KafkaException as error:
            errors = [error]
        return self._said(errors[0]) if errors else None

    def _assign(self, offsets: Mapping[int, int]) -> None:
        self.assigned = None
        self.consumer.assign([self._at(partition, offset) for partition, offset in offsets.items()])

    def _messages(self, offsets: Mapping[int, int], wanted: int = 1,
                  deadline: float | None = None) -> Iterator[Message]:  # fmt: skip
        """Yields records, and the end of a partition as a message with an error.

        With a deadline it yields what comes in one call. `offsets` is where each partition is read, for an error.
        """
        quiet = time.monotonic() + self.patience
        while True:
            messages = self.consumer.consume(wanted, POLL_SECONDS)
            heard = False
            for message in messages:
                error = message.error()
                if error is None or error.code() == KafkaError._PARTITION_EOF:
                    heard = True
                    yield message
                elif not error.retriable():
                    partition = message.partition()
                    raise self._error(error, partition, offsets.get(partition, message.offset()))
            if heard:
                quiet = time.monotonic() + self.patience
            if deadline and (heard or time.monotonic() >= deadline):
                return
            if time.monotonic() > quiet:
                partition, offset = next(iter(offsets.items()))
                raise EventsError(
                    f"The broker at {self.address} has said nothing for {self.patience:g} seconds of topic "
                    f"{self.topic}, partition {partition}, from offset {offset} on{self._why()}. Run this again once "
                    "it answers: it reads on from what has landed."
                )

    def _at(self, partition: int, offset: int | None = None) -> TopicPartition:
        return TopicPartition(self.topic, partition, *([] if offset is None else [offset]))

    def _hear(self, error: KafkaError) -> None:
        # That all brokers are down is said after what took the last one down.
        if self.heard is None or error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.heard = error

    @contextmanager
    def _plain(self, what: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            # What the connections have met is told only when somebody asks.
            self.consumer.poll(0)
            found = error.args[0]
            if self.heard and self.heard.code() in REFUSED:
                found = self.heard
            if found.code() in (*REFUSED, *NOT_ALLOWED, *UNKNOWN):
                raise self._error(found) from None
            if found.code() in OUT_OF_REACH:
                raise EventsError(
                    f"No broker at {self.address} answers within {self.patience:g} seconds, to {what}: "
                    f"{self._said(self.heard or found)}. Start it, or name one that runs by bootstrap.servers."
                ) from None
            raise EventsError(f"The broker at {self.address} did not {what}: {self._said(error)}.") from None

    def _error(self, error: KafkaError, partition: int | None = None, offset: int | None = None) -> EventsError:
        where = f"topic {self.topic}"
        if partition is not None and partition >= 0:
            where += f", partition {partition}, offset {offset}"
        said = self._said(error)
        if error.code() in REFUSED:
            return EventsError(
                f"The broker at {self.address} refused the connection that reads {where}: {said}. Check "
                "security.protocol, sasl.mechanism, the credentials and the certificates."
            )
        if error.code() in NOT_ALLOWED:
            return EventsError(f"The broker at {self.address} does not let this user read {where}: {said}.")
        if error.code() in UNKNOWN:
            return EventsError(f"The broker at {self.address} has no {where}. Check its name, or create it.")
        if error.code() in GONE:
            return EventsError(
                f"The log no longer has {where}: it went while it was being read. Run this again: it says what is gone."
            )
        return EventsError(f"{where[0].upper()}{where[1:]} at {self.address} cannot be read: {said}.")

    def _why(self) -> str:
        return f" ({self._said(self.heard)})" if self.heard else ""

    def _said(self, error: KafkaError | Exception) -> str:
        """What an error says, on one line and without what nobody may read."""
        found = error.args[0] if isinstance(error, KafkaException) else error
        text = found.str() if isinstance(found, KafkaError) else str(found)
        for name, value in self.settings.items():
            if SECRET.search(name) and isinstance(value, str) and value:
                text = text.replace(value, "***")
        return " ".join(text.split())[:300].rstrip(".: ")


def _record(message: Message) -> Record:
    kind, timestamp = message.timestamp()
    try:
        headers = message.headers()
    except (SystemError, UnicodeDecodeError):
        # confluent-kafka does not give them out; one such record must not hold up all that follow.
        headers = [(UNREADABLE, None)]
    return Record(message.offset(), timestamp if kind else None, message.key(), message.value(), headers)
