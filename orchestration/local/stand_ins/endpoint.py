"""The endpoint of a model on this machine: as SageMaker's XGBoost container, it knows the archive and nothing else.

It does what that container does, where a client can tell: it takes the first file that is not hidden, guesses what
divides the numbers of a line, does not compare features by name, and answers with probabilities divided by commas.
"""

import csv
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xgboost

from orchestration.local.errors import LocalError
from orchestration.local.stand_ins.serving import Handler, serving

# As much of the first line the divider is guessed from.
GUESSED_FROM = 512


class Endpoint:
    """A model that answers; `address` is where."""

    def __init__(self, archive: Path) -> None:
        self.address = ""
        self._lock = threading.Lock()
        with tarfile.open(archive) as packed:
            files = {one.name: one for one in packed if one.isfile() and not Path(one.name).name.startswith(".")}
            if not files:
                raise LocalError(f"{archive} holds no model.")
            content = packed.extractfile(files[min(files)]).read()
        self._booster = xgboost.Booster()
        try:
            self._booster.load_model(bytearray(content))
        except xgboost.core.XGBoostError as error:
            raise LocalError(f"{min(files)} in {archive} is no model of XGBoost.") from error
        self._booster.set_param("nthread", 1)

    def answer(self, content_type: str, body: bytes) -> tuple[int, str]:
        """The status and the text of an answer to what was sent."""
        if not body:
            return 204, ""
        if content_type.partition(";")[0].strip().lower() != "text/csv":
            return 415, f"Content-type {content_type} is not served here: send text/csv."
        try:
            numbers = _numbers(body.decode().strip())
        except (ValueError, csv.Error) as error:
            return 415, f"This is no text/csv of numbers: {error}"
        try:
            with self._lock:
                found = self._booster.predict(xgboost.DMatrix(numbers), validate_features=False)
        except xgboost.core.XGBoostError as error:
            return 400, f"The model cannot score this: {str(error).splitlines()[0]}"
        return 200, ",".join(str(value) for value in found.tolist())


def _numbers(text: str) -> np.ndarray:
    lines = text.split("\n")
    guessed = csv.Sniffer().sniff(lines[0][:GUESSED_FROM]).delimiter
    divider = "," if guessed.isalnum() else guessed
    return np.array([["nan" if value.strip() == "" else value for value in line.split(divider)] for line in lines],
                    dtype=float)  # fmt: skip


@contextmanager
def endpoint(archive: Path) -> Iterator[Endpoint]:
    """Serve the model of an archive on a free port of loopback until the block ends."""
    model = Endpoint(archive)

    class Requests(Handler):
        def do_GET(self) -> None:
            self._send(200 if self.path == "/ping" else 404, "")

        def do_POST(self) -> None:
            body = self.body()
            if self.path != "/invocations":
                return self._send(404, "")
            return self._send(*model.answer(self.headers.get("Content-Type", "text/csv"), body))

        def _send(self, status: int, text: str) -> None:
            self.answer(status, "text/csv" if status == 200 else "text/plain", text.encode())

    with serving(Requests) as model.address:
        yield model
