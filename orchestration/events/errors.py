"""What goes wrong between Kafka and the landing zone, in a plain sentence that says where and what to do."""


class EventsError(RuntimeError):
    """Says why the events of a topic were not landed, and what to do; its message is all that a person needs."""


class LossError(EventsError):
    """Events went from the log before they were landed. Nothing was landed, and nothing is until that is accepted."""
