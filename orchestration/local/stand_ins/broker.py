"""Kafka on this machine: the mock cluster that librdkafka brings along, in memory and on loopback.

It keeps about 30,000 records a partition and drops older ones, does not filter out what aborted transactions wrote, and
knows no security: it asks nobody for the password.
"""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
from confluent_kafka import Producer

from orchestration.local.errors import LocalError

# A record of a topic: its partition, key, value, and when, in milliseconds since 1970.
Event = tuple[int, bytes | None, bytes | None, int]
# Unmistakable, so that it is found wherever it should not stand.
KAFKA_PASSWORD = "password-of-the-local-kafka"
PRODUCER = 0
ONLY_BROKER = 1
ERROR_BYTES = 512
# Kafka's numbers of the requests that a test lets fail.
FETCH, LIST_OFFSETS, METADATA, COMMIT = 1, 2, 3, 8


class Broker:
    """A cluster of one broker; other processes reach it at `address`."""

    def __init__(self) -> None:
        self._kafka = _library()
        problem = ctypes.create_string_buffer(ERROR_BYTES)
        settings = self._kafka.rd_kafka_conf_new()
        # That it knows no brokers, since it is one, is nothing to warn of.
        self._kafka.rd_kafka_conf_set(settings, b"log_level", b"0", problem, ERROR_BYTES)
        self._client = self._kafka.rd_kafka_new(PRODUCER, settings, problem, ERROR_BYTES)
        if not self._client:
            raise LocalError(f"The local Kafka does not start: {problem.value.decode()}")
        self._cluster = self._kafka.rd_kafka_mock_cluster_new(self._client, ONLY_BROKER)
        if not self._cluster:
            raise LocalError("The local Kafka does not start: there is no free port on loopback.")
        # Who wants to know the id of a topic asks the controller.
        self._kafka.rd_kafka_mock_set_controller_id(self._cluster, ONLY_BROKER)
        self.address: str = self._kafka.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        """Ends it, and with it all that it held."""
        self._kafka.rd_kafka_mock_cluster_destroy(self._cluster)
        self._kafka.rd_kafka_destroy(self._client)

    def create(self, topic: str, partitions: int) -> None:
        """Makes a topic, empty."""
        self._do(self._kafka.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1), topic)

    def delete(self, topic: str) -> None:
        """Deletes a topic with all that is in it."""
        self._do(self._kafka.rd_kafka_mock_topic_delete(self._cluster, topic.encode()), topic)

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Deletes the records before an offset, as retention does."""
        deleted = self._kafka.rd_kafka_mock_partition_delete_records(self._cluster, topic.encode(), partition, before)
        self._do(deleted, topic)

    def fail(self, request: int, *errors: int) -> None:
        """Answers the next requests of a kind with these of Kafka's error codes, then as usual."""
        self._kafka.rd_kafka_mock_clear_request_errors(self._cluster, request)
        codes = (ctypes.c_int * len(errors))(*errors)
        self._kafka.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), codes)

    def send(self, topic: str, events: Iterable[Event]) -> None:
        """Writes events, each into its partition, in their order."""
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 5})
        for partition, key, value, timestamp in events:
            while True:
                try:
                    producer.produce(topic, value, key, partition, timestamp=timestamp)
                    break
                except BufferError:  # it is full until some are sent
                    producer.poll(0.1)
        if left := producer.flush(30):
            raise LocalError(f"The local Kafka did not take {left} events of topic {topic}.")

    @staticmethod
    def _do(error: int, topic: str) -> None:
        if error:
            raise LocalError(
                f"The local Kafka refuses this of topic {topic}: {confluent_kafka.KafkaError(error).str()}."
            )


@contextmanager
def broker() -> Iterator[Broker]:
    """Serves Kafka on a free port of loopback until the block ends."""
    running = Broker()
    try:
        yield running
    finally:
        running.close()


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka has loaded: its mock cluster has no Python of its own."""
    package = Path(confluent_kafka.__file__).parent
    # The wheels of Linux and of macOS keep it in different places.
    places = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    if not places:
        raise LocalError(
            "The local Kafka needs the wheel of confluent-kafka, which brings librdkafka. `make setup` has it."
        )
    kafka = ctypes.CDLL(str(places[0]))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_conf_set": (number, [pointer, text, text, pointer, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_set_controller_id": (number, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_topic_delete": (number, [pointer, text]),
        "rd_kafka_mock_partition_delete_records": (number, [pointer, text, ctypes.c_int32, ctypes.c_int64]),
        "rd_kafka_mock_clear_request_errors": (None, [pointer, ctypes.c_int16]),
        "rd_kafka_mock_push_request_errors_array": (None, [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(kafka, name)
        function.restype, function.argtypes = result, arguments
    return kafka
