"""What chat, mail and an agent of metrics are sent, kept in memory and as a file of one JSON object a line."""

import json
import threading
from pathlib import Path


class Sink:
    """Messages received; `address` is where to send more. One that `refuses` takes nobody's token or password."""

    refuses = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.messages: list[dict] = []
        self.address = ""
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def keep(self, message: dict) -> None:
        """Add a message."""
        with self._lock, self.file.open("a") as lines:
            lines.write(json.dumps(message, ensure_ascii=False) + "\n")
            self.messages.append(message)
