"""What SageMaker says of an endpoint, and its errors as plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from orchestration import settings
from orchestration.churn.errors import DeploymentError
from orchestration.landing.zones import CREDENTIALS

Client = Any
T = TypeVar("T")
IN_SERVICE, FAILED = "InService", "Failed"
# In these SageMaker is at work, and they end by themselves.
MOVING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
UNCHANGED = "What serves was not changed."
LATER = "Run this again: it goes on from what the endpoint says then."
THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded")
DENIED = ("AccessDeniedException", "AccessDenied")
UNKNOWN = ("UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException",
           "InvalidSignatureException", "SignatureDoesNotMatch", "MissingAuthenticationToken")  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its status, the configuration that serves or is to serve, and why the last change failed."""

    name: str
    status: str
    configuration: str
    reason: str = ""
    instances: int = 0


def described(client: Client, name: str, otherwise: str = UNCHANGED) -> Endpoint | None:
    """An endpoint as it is now, None if there is none."""
    found = found_or_none(
        lambda: client.describe_endpoint(EndpointName=name), f"describe the endpoint {name}", otherwise
    )
    if found is None:
        return None
    return Endpoint(
        name,
        found["EndpointStatus"],
        found.get("EndpointConfigName", ""),
        " ".join(found.get("FailureReason", "").split()),
        sum(variant.get("CurrentInstanceCount", 0) for variant in found.get("ProductionVariants", [])),
    )


def settled(client: Client, name: str, seconds: float, every: float, otherwise: str = UNCHANGED) -> Endpoint | None:
    """An endpoint once SageMaker is no longer at work on it, None if there is none; looks `every` so many seconds."""
    looks = Retrying(
        retry=retry_if_result(lambda found: found is not None and found.status in MOVING),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(every),
    )
    try:
        return looks(described, client, name, otherwise)
    except RetryError as error:
        found = error.last_attempt.result()
        raise DeploymentError(
            f"The endpoint {name} is still {found.status} after {seconds:g} seconds; its configuration is "
            f"{found.configuration}. SageMaker goes on by itself, and what serves goes on serving. {LATER}"
        ) from None


def found_or_none(ask: Callable[[], T], what: str, otherwise: str = UNCHANGED) -> T | None:
    """What SageMaker answers, None where it has no such thing."""
    with plain(what, otherwise):
        try:
            return ask()
        except ClientError as error:
            if is_missing(error):
                return None
            raise


def is_missing(error: ClientError) -> bool:
    """Whether SageMaker has no such thing; it has no error code of its own for that."""
    code, message = _said(error)
    return code == "ResourceNotFound" or (code == "ValidationException" and message.startswith("Could not find "))


def is_there_already(error: ClientError) -> bool:
    """Whether SageMaker has a thing of that name."""
    code, message = _said(error)
    return code == "ResourceInUse" or (code == "ValidationException" and "already existing" in message)


@contextmanager
def plain(what: str, otherwise: str = UNCHANGED) -> Iterator[None]:
    """Turns what SageMaker or the way to it says into a sentence; `otherwise` is what that means for what serves."""
    try:
        yield
    except ClientError as error:
        code, message = _said(error)
        raise DeploymentError(f"SageMaker did not {what}: {_advice(code, message)} {otherwise}") from error
    except BotoCoreError as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        advice = "" if isinstance(error, ParamValidationError) else f"{CREDENTIALS} "
        raise DeploymentError(f"SageMaker did not {what}: {reason}. {advice}{otherwise}") from error


def _said(error: ClientError) -> tuple[str, str]:
    return error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")


def _advice(code: str, message: str) -> str:
    said = f"{code}: {' '.join(message.split())[:300].rstrip('.')}."
    if code in THROTTLED:
        return f"it was asked too often ({code}). Run this again later."
    if code == "ResourceLimitExceeded":
        return (
            f"{said} Ask for a higher quota of {settings.ENDPOINT_INSTANCE}, or set PIPELINES_ENDPOINT_INSTANCE to "
            "another type."
        )
    if code in DENIED:
        return f"{said} Give this right to who runs the task, and iam:PassRole for PIPELINES_ENDPOINT_ROLE."
    if code in UNKNOWN:
        return f"{code}. {CREDENTIALS}"
    if "model data" in message:
        return f"{said} Look whether PIPELINES_MODELS_BUCKET is there and PIPELINES_ENDPOINT_ROLE may read it."
    return said
