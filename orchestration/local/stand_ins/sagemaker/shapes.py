"""What a request may hold and an answer must, by botocore's model of the API."""

import re
from collections.abc import Iterator

from botocore.model import Shape
from botocore.validate import ParamValidator


def problems(value: dict, shape: Shape | None) -> str:
    """What is wrong with a request or an answer, nothing if nothing is."""
    if shape is None:
        return "" if not value else f"nothing is expected, and there is {value}"
    return ParamValidator().validate(value, shape).generate_report() or "; ".join(constraints(value, shape))


def constraints(value: object, shape: Shape, where: str = "") -> Iterator[str]:
    """What is wrong with a value by the enums and patterns of its shape, which botocore leaves to the service."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from constraints(inner, shape.members[name], f"{where}.{name}")
            else:
                yield f"{where}.{name} is no member of {shape.name}"
    elif shape.type_name == "list" and isinstance(value, list):
        for at, inner in enumerate(value):
            yield from constraints(inner, shape.member, f"{where}[{at}]")
    elif shape.type_name == "string" and isinstance(value, str):
        # What tags may hold is written with classes of characters that Python's patterns do not know.
        pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max", len(value))
        enum = shape.metadata.get("enum")
        if (
            (pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value))
            or len(value) > most
            or (enum and value not in enum)
        ):
            yield f"Value '{value}' at '{where.lstrip('.')}' failed to satisfy constraint: {pattern or enum or most}"
