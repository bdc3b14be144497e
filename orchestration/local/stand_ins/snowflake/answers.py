"""How the server is asked, and how it answers."""

import gzip
import json
from collections.abc import Callable
from typing import Any

from fakesnow import server
from snowflake.connector.errors import ProgrammingError
from starlette.requests import Request
from starlette.routing import Route

Json = dict[str, Any]


def refuse(message: str, errno: int = 1003, sqlstate: str = "42000") -> ProgrammingError:
    """An error as Snowflake answers it."""
    return ProgrammingError(msg=message, errno=errno, sqlstate=sqlstate)


def route(path: str, endpoint: Callable) -> None:
    """Has an endpoint take the place of the one that fakesnow has at a path."""
    place = next(n for n, route in enumerate(server.app.router.routes) if route.path == path)
    server.app.router.routes[place] = Route(path, endpoint, methods=["POST"])


async def body_of(request: Request) -> Json:
    """What a request asks."""
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


def with_body(request: Request, body: Json) -> Request:
    """The same request, asking something else."""
    data = json.dumps(body).encode()
    request._body = gzip.compress(data) if request.headers.get("Content-Encoding") == "gzip" else data
    return request
