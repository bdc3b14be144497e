"""SageMaker's control plane on this machine, as far as models are deployed by it: over HTTP, in memory.

An endpoint is at work for so many looks at it (DescribeEndpoint), not for so long: tests see each state. What a request
may hold, and what an answer must, are as botocore's model of the API has them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel

from orchestration.local.stand_ins.sagemaker.shapes import problems

REGION, ACCOUNT = "us-east-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/local-sagemaker"
# Unmistakable, so that they are found wherever they should not stand.
KEY, SECRET = "key-of-the-local-sagemaker", "secret-of-the-local-sagemaker"
PAGE = 10


class RefusalError(Exception):
    """What SageMaker answers instead: an error code and a message."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass
class Course:
    """How the next change of an endpoint goes: the states it is seen in, and how it ends.

    With `takes` it ends with the new configuration, else with the one before.
    """

    states: tuple[str, ...] = ()
    ends: str = "InService"
    takes: bool = True
    reason: str = ""


@dataclass
class _Endpoint:
    configuration: str
    status: str
    created: float
    modified: float
    course: Course
    left: deque = field(default_factory=deque)
    moving: bool = False
    pending: str | None = None
    reason: str = ""
    serves: str | None = None
    deployment: dict | None = None


class ControlPlane:
    """Models, configurations and endpoints; `address` is where a client finds it.

    `courses` are those of the next changes, in their order. `refuse` lets requests fail. `has_archive` says whether
    there is something at a URL. `requests` are the operations that were asked for.
    """

    def __init__(self) -> None:
        self.address = ""
        self._lock = threading.RLock()
        self._service: ServiceModel = botocore.session.get_session().get_service_model("sagemaker")
        self.clear()

    def clear(self) -> None:
        """Forgets all that there is, and all that was asked and told."""
        self.courses: deque[Course] = deque()
        self.has_archive: Callable[[str], bool] = lambda url: True
        self.requests: list[str] = []
        self.models: dict[str, dict] = {}
        self.configurations: dict[str, dict] = {}
        self.endpoints: dict[str, _Endpoint] = {}
        self._refusals: dict[str, deque[RefusalError]] = {}
        self._clock = 0

    def refuse(self, operation: str, code: str, message: str = "", times: int = 1) -> None:
        """Answers the next requests of a kind with an error, then as usual."""
        self._refusals.setdefault(operation, deque()).extend([RefusalError(code, message)] * times)

    def answer(self, operation: str, asked: dict) -> dict:
        """What SageMaker answers to a request."""
        with self._lock:
            self.requests.append(operation)
            if refusals := self._refusals.get(operation):
                raise refusals.popleft()
            handler = getattr(self, f"_{xform_name(operation)}", None)
            if handler is None:
                raise RefusalError("UnknownOperationException", f"The local SageMaker knows no {operation}.")
            model = self._service.operation_model(operation)
            if wrong := problems(asked, model.input_shape):
                raise RefusalError("ValidationException", f"1 validation error detected: {wrong}")
            return handler(**asked) or {}

    def _create_model(self, ModelName: str, **asked) -> dict:
        if ModelName in self.models:
            arn = _arn("model", ModelName)
            raise RefusalError("ValidationException", f'Cannot create already existing model "{arn}".')
        url = asked.get("PrimaryContainer", {}).get("ModelDataUrl", "")
        if not self.has_archive(url):
            raise RefusalError("ValidationException", f"Could not find model data at {url}.")
        self.models[ModelName] = {"ModelName": ModelName, **asked, **self._named("Model", "model", ModelName)}
        return {"ModelArn": _arn("model", ModelName)}

    def _create_endpoint_config(self, EndpointConfigName: str, ProductionVariants: list, **asked) -> dict:
        if EndpointConfigName in self.configurations:
            arn = _arn("endpoint-config", EndpointConfigName)
            raise RefusalError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in ProductionVariants:
            self._found(self.models, variant["ModelName"], "model", "model")
        self.configurations[EndpointConfigName] = {
            "EndpointConfigName": EndpointConfigName,
            "ProductionVariants": ProductionVariants,
            **asked,
            **self._named("EndpointConfig", "endpoint-config", EndpointConfigName),
        }
        return {"EndpointConfigArn": _arn("endpoint-config", EndpointConfigName)}

    def _create_endpoint(self, EndpointName: str, EndpointConfigName: str, **asked) -> dict:
        if EndpointName in self.endpoints:
            arn = _arn("endpoint", EndpointName)
            raise RefusalError("ValidationException", f'Cannot create already existing endpoint "{arn}".')
        self._found(self.configurations, EndpointConfigName, "endpoint configuration", "endpoint-config")
        now = self._now()
        made = _Endpoint(EndpointConfigName, "Creating", now, now, self._course())
        self._begin(made, "Creating", EndpointConfigName, asked.get("DeploymentConfig"))
        self.endpoints[EndpointName] = made
        return {"EndpointArn": _arn("endpoint", EndpointName)}

    def _update_endpoint(self, EndpointName: str, EndpointConfigName: str, **asked) -> dict:
        found = self._found(self.endpoints, EndpointName, "endpoint", "endpoint")
        self._found(self.configurations, EndpointConfigName, "endpoint configuration", "endpoint-config")
        arn = _arn("endpoint", EndpointName)
        if found.moving:
            raise RefusalError("ValidationException", f'Cannot update in-progress endpoint "{arn}".')
        if found.status == "Failed":
            raise RefusalError("ValidationException", f'Cannot update failed endpoint "{arn}".')
        found.course = self._course()
        self._begin(found, "Updating", EndpointConfigName, asked.get("DeploymentConfig"))
        return {"EndpointArn": arn}

    def _delete_endpoint(self, EndpointName: str) -> None:
        found = self._found(self.endpoints, EndpointName, "endpoint", "endpoint")
        if found.moving:
            arn = _arn("endpoint", EndpointName)
            raise RefusalError("ValidationException", f'Cannot delete in-progress endpoint "{arn}".')
        found.status, found.moving, found.left, found.pending = "Deleting", True, deque(["Deleting"]), None

    def _describe_endpoint(self, EndpointName: str) -> dict:
        found = self._found(self.endpoints, EndpointName, "endpoint", "endpoint")
        self._look(EndpointName, found)
        if EndpointName not in self.endpoints:
            raise RefusalError("ValidationException", _missing("endpoint", "endpoint", EndpointName))
        said = {
            "EndpointName": EndpointName,
            "EndpointArn": _arn("endpoint", EndpointName),
            "EndpointConfigName": found.configuration,
            "EndpointStatus": found.status,
            "CreationTime": found.created,
            "LastModifiedTime": found.modified,
        }
        if found.reason:
            said["FailureReason"] = found.reason
        if found.serves:
            said["ProductionVariants"] = [
                {"VariantName": one["VariantName"], "CurrentInstanceCount": one["InitialInstanceCount"]}
                for one in self.configurations.get(found.serves, {}).get("ProductionVariants", [])
            ]
        if found.pending and found.serves:
            said["PendingDeploymentSummary"] = {"EndpointConfigName": found.pending, "StartTime": found.modified}
        if found.deployment:
            said["LastDeploymentConfig"] = found.deployment
        return said

    def _describe_model(self, ModelName: str) -> dict:
        return self._found(self.models, ModelName, "model", "model")

    def _describe_endpoint_config(self, EndpointConfigName: str) -> dict:
        return self._found(self.configurations, EndpointConfigName, "endpoint configuration", "endpoint-config")

    def _delete_model(self, ModelName: str) -> None:
        self._found(self.models, ModelName, "model", "model")
        del self.models[ModelName]

    def _delete_endpoint_config(self, EndpointConfigName: str) -> None:
        self._found(self.configurations, EndpointConfigName, "endpoint configuration", "endpoint-config")
        del self.configurations[EndpointConfigName]

    def _list_models(self, **asked) -> dict:
        return _listed(self.models, "Models", ("ModelName", "ModelArn", "CreationTime"), **asked)

    def _list_endpoint_configs(self, **asked) -> dict:
        keys = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return _listed(self.configurations, "EndpointConfigs", keys, **asked)

    def _begin(self, found: _Endpoint, state: str, configuration: str, deployment: dict | None) -> None:
        found.left = deque(found.course.states or (state,))
        found.moving, found.status = True, found.left[0]
        found.pending, found.deployment, found.reason = configuration, deployment, ""
        found.modified = self._now()

    def _look(self, name: str, found: _Endpoint) -> None:
        """One look at an endpoint shows the next state of its course, and after the last one how it ends."""
        if not found.moving:
            return
        if found.left:
            found.status = found.left.popleft()
            return
        found.moving, found.modified = False, self._now()
        if found.pending is None:
            del self.endpoints[name]
            return
        found.status, found.reason = found.course.ends, found.course.reason
        if found.course.takes:
            found.configuration = found.pending
            if found.status != "Failed":
                found.serves = found.pending
        found.pending = None

    def _course(self) -> Course:
        return self.courses.popleft() if self.courses else Course()

    def _now(self) -> float:
        # Each later than the one before, however fast.
        self._clock += 1
        return round(time.time() + self._clock / 1000, 3)

    def _named(self, kind: str, resource: str, name: str) -> dict:
        return {f"{kind}Arn": _arn(resource, name), "CreationTime": self._now()}

    @staticmethod
    def _found(things: dict, name: str, what: str, resource: str):
        if name not in things:
            raise RefusalError("ValidationException", _missing(what, resource, name))
        return things[name]


def _arn(resource: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}/{name}"


def _missing(what: str, resource: str, name: str) -> str:
    return f'Could not find {what} "{_arn(resource, name)}".'


def _listed(
    things: dict, what: str, keys: tuple[str, ...], NameContains: str = "", SortOrder: str = "Descending",
    NextToken: str = "0", MaxResults: int = PAGE, **_: object,
) -> dict:  # fmt: skip
    found = [{key: thing[key] for key in keys} for name, thing in things.items() if NameContains in name]
    found.sort(key=lambda thing: thing["CreationTime"], reverse=SortOrder == "Descending")
    first = int(NextToken)
    more = {"NextToken": str(first + MaxResults)} if first + MaxResults < len(found) else {}
    return {what: found[first : first + MaxResults], **more}
