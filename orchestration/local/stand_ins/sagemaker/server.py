"""The control plane over HTTP, in the JSON of AWS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.local.stand_ins.sagemaker.plane import ControlPlane, RefusalError
from orchestration.local.stand_ins.serving import Handler, serving


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """Serve SageMaker's control plane on a free port of loopback until the block ends."""
    plane = ControlPlane()

    class Operations(Handler):
        protocol_version = "HTTP/1.1"
        # Else the body waits 40 ms for the client to acknowledge the headers.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            try:
                status, answer = 200, plane.answer(operation, json.loads(self.body() or b"{}"))
            except RefusalError as error:
                status, answer = error.status, {"__type": error.code, "message": str(error)}
            self.answer(status, "application/x-amz-json-1.1", json.dumps(answer).encode())

    with serving(Operations) as plane.address:
        yield plane
