"""What goes wrong between Kafka and the landing zone, in a plain sentence that says where and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class EventsError(RuntimeError):
    """Says why the events of a topic were not landed, and what to do; its message is all that a person needs."""


class SettingsError(EventsError):
    """The settings of the connection are none that librdkafka takes."""


class LossError(EventsError):
    """Events went from the log before they were landed. Nothing was landed, and nothing is until that is accepted.

    `lost` says what, partition by partition.
    """

    def __init__(self, topic: str, lost: Sequence[str], recorded_in: str):
        self.topic, self.lost = topic, lost
        said = "; ".join(lost)
        super().__init__(
            f"{self.summary} {said[0].upper()}{said[1:]}. Nothing was landed. --accept-loss goes on: it reads these "
            f"partitions from the first offset that is there, and records what was lost in {recorded_in}."
        )

    @property
    def summary(self) -> str:
        """What is wrong, without what is lost."""
        return f"Topic {self.topic}: not all of it can be landed any more."
