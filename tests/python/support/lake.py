"""A warehouse whose landing zone is S3 on this machine, and a proxy in front of it that can be told to misbehave."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, Storage
from support.warehouse import Built, Warehouse, environment

BUCKET = "company-data-lake"


@dataclass
class Lake(Warehouse):
    """A warehouse over a bucket; `endpoint` may be another than that of the storage."""

    storage: Storage | None = None
    endpoint: str = ""
    bucket: str = BUCKET
    key: str = KEY

    @property
    def landing_root(self) -> str:
        return f"s3://{self.bucket}"

    def land(self, files: Mapping[str, bytes], anew: bool = False) -> None:
        for path in self.landed.keys() - files.keys():
            self.storage.client.delete_object(Bucket=BUCKET, Key=path)
        for path, data in files.items():
            if anew or self.landed.get(path) != data:
                self.storage.client.put_object(Bucket=BUCKET, Key=path, Body=data)
        self.landed = dict(files)

    def dbt(self, *command: str, **options) -> Built:
        account = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        with environment(**account, AWS_ENDPOINT_URL=self.endpoint or self.storage.endpoint):
            return super().dbt(*command, **options)


@dataclass
class Proxy:
    """Hands requests on to S3. `misbehave` may take one over: it is given the handler and the true answer."""

    target: str
    misbehave: Callable[[BaseHTTPRequestHandler, int, dict, bytes], bool] = lambda *_: False
    requests: list[str] = field(default_factory=list)
    address: str = ""


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """Serves a proxy of S3 on a free port."""
    told = Proxy(target)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.requests.append(f"{self.command} {self.path}")
            connection = http.client.HTTPConnection(target.removeprefix("http://"))
            connection.request(self.command, self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            status, headers, body = answer.status, dict(answer.getheaders()), answer.read()
            connection.close()
            if told.misbehave(self, status, headers, body):
                self.close_connection = True
                return
            send(self, status, headers, body)

        do_HEAD = do_GET

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    told.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Answers; a body that is shorter than its length says is cut off."""
    handler.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in ("connection", "transfer-encoding"):
            handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
    handler.wfile.flush()


def is_object(handler: BaseHTTPRequestHandler, method: str = "GET") -> bool:
    """Whether a file is asked for, and not a listing."""
    return handler.command == method and ".csv" in handler.path.partition("?")[0]


def cut(handler: BaseHTTPRequestHandler, status: int, headers: dict, body: bytes) -> bool:
    """The connection breaks in the middle of a file."""
    if not is_object(handler):
        return False
    send(handler, status, headers, body[: len(body) // 2])
    return True


def hang(handler: BaseHTTPRequestHandler, *_) -> bool:
    """A file is asked for, and no answer comes."""
    if is_object(handler):
        time.sleep(3)
    return is_object(handler)


def of_duckdb(misbehave: Callable[..., bool]) -> Callable[..., bool]:
    """The same, but only for the second reader of a file."""
    return lambda handler, *answer: (
        "boto" not in handler.headers.get("User-Agent", "").lower() and misbehave(handler, *answer)
    )
