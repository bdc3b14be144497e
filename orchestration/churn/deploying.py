"""Brings a stored model to its endpoint on SageMaker, with a boto3 client that is given.

A run that is killed between any two steps leaves things that are named by their content; the next one finds them.
Only the last step, creating or updating the endpoint, changes what serves, and SageMaker does that whole or not at all.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from botocore.config import Config
from botocore.exceptions import ClientError

from orchestration import settings
from orchestration.churn.endpoint import (
    FAILED,
    IN_SERVICE,
    LATER,
    MOVING,
    UNCHANGED,
    Client,
    Endpoint,
    described,
    found_or_none,
    is_there_already,
    plain,
    settled,
)
from orchestration.churn.errors import DeploymentError
from orchestration.churn.store import Stored

# So much of a hash stands in a name, which may have 63 characters.
HASH, SETTINGS_HASH, MOST_NAME = 16, 8, 63
VARIANT = "AllTraffic"
# How long the alarms are watched with all traffic on the new model, in seconds.
WATCHED = 300
# For the client: throttled requests are repeated by botocore, ever later.
CLIENT = Config(connect_timeout=20, read_timeout=60, retries={"total_max_attempts": 8, "mode": "standard"})


@dataclass(frozen=True)
class Serving:
    """How models are served; times in seconds."""

    endpoint: str = settings.ENDPOINT
    image: str = settings.ENDPOINT_IMAGE
    role: str = settings.ENDPOINT_ROLE
    instance: str = settings.ENDPOINT_INSTANCE
    instances: int = settings.ENDPOINT_INSTANCES
    alarms: tuple[str, ...] = tuple(name.strip() for name in settings.ENDPOINT_ALARMS.split(",") if name.strip())
    seconds: float = settings.ENDPOINT_SECONDS
    every: float = settings.ENDPOINT_POKE_SECONDS
    kept: int = settings.MODELS_KEPT

    def model(self, hash: str) -> str:
        """What SageMaker calls a model."""
        return f"{self.endpoint}-{hash[:HASH]}"

    def configuration(self, hash: str) -> str:
        """What it calls a configuration of the endpoint: that of a model, on such instances."""
        how = hashlib.sha256(f"{self.instance} {self.instances}".encode()).hexdigest()
        return f"{self.model(hash)}-{how[:SETTINGS_HASH]}"


@dataclass(frozen=True)
class Deployed:
    """What serves: a configuration, and the hash of its model, whole."""

    configuration: str
    hash: str


@dataclass(frozen=True)
class Deployment:
    """What became of a deployment: the configuration before and after, whether it changed, and why, in a sentence."""

    before: str | None
    after: str
    changed: bool
    why: str


def deployed(client: Client, serving: Serving) -> Deployed | None:
    """What serves once the endpoint has settled, None if nothing does. A DeploymentError if that cannot be told."""
    found = settled(client, serving.endpoint, serving.seconds, serving.every)
    if found is None or _never_served(found):
        return None
    _check_serves(found)
    configuration = found_or_none(
        lambda: client.describe_endpoint_config(EndpointConfigName=found.configuration),
        f"describe the configuration {found.configuration}",
    )
    name = configuration and configuration["ProductionVariants"][0].get("ModelName")
    model = name and found_or_none(lambda: client.describe_model(ModelName=name), f"describe the model {name}")
    url = model and model.get("PrimaryContainer", {}).get("ModelDataUrl", "")
    if not (path := re.search(r"/([0-9a-f]{64})/[^/]+$", url or "")):
        raise DeploymentError(
            f"The endpoint {serving.endpoint} serves with {found.configuration}, whose model is none of this pipeline: "
            f"no new one can be compared with it. {UNCHANGED} Name another endpoint in PIPELINES_ENDPOINT, or delete "
            "this one."
        )
    return Deployed(found.configuration, path[1])


def deploy(client: Client, stored: Stored, serving: Serving, instead_of: Deployed | None) -> Deployment:
    """Lets the endpoint serve a model instead of what it was compared with, and waits until it does.

    A DeploymentError says what went wrong, and what serves now. The same model on the same instances is not deployed
    again.
    """
    name, wanted = serving.endpoint, serving.configuration(stored.hash)
    _check(serving, stored)
    before = settled(client, name, serving.seconds, serving.every)
    if before and not _never_served(before):
        _check_serves(before)
        if before.configuration == wanted:
            return Deployment(wanted, wanted, False, f"The endpoint {name} serves this very model: nothing to deploy.")
        _check_compared(before, instead_of)
    _create_model(client, stored, serving)
    _create_configuration(client, stored.hash, serving)
    if before and _never_served(before):
        _delete(client, name, serving)
        before = None
    if before:
        # Once more, for that has taken seconds.
        _check_compared(described(client, name), instead_of)
    _change(client, before, wanted, serving)
    # SageMaker has no change on a condition. As long as it is at work it says what served when it began.
    began, why = described(client, name, LATER), f"The endpoint {name} serves it."
    if before and began and began.status in MOVING and began.configuration not in (before.configuration, wanted):
        before = began
        why += f" Another run had let it serve with {before.configuration} a moment before, which was not compared."
    after = settled(client, name, serving.seconds, serving.every, LATER)
    _check_changed(before, after, wanted, name)
    return Deployment(before.configuration if before else None, wanted, True, why)


def _check(serving: Serving, stored: Stored) -> None:
    if not serving.role:
        raise DeploymentError(
            "PIPELINES_ENDPOINT_ROLE is not set: it must be the ARN of a role that SageMaker may take, and that may "
            f"read the bucket of the models. {UNCHANGED}"
        )
    if not stored.archive.startswith("s3://"):
        raise DeploymentError(f"SageMaker reads models from S3, and this one is {stored.archive}. {UNCHANGED}")
    if len(serving.configuration(stored.hash)) > MOST_NAME:
        most = MOST_NAME - HASH - SETTINGS_HASH - 2
        raise DeploymentError(f"PIPELINES_ENDPOINT is {serving.endpoint}: it may have {most} characters. {UNCHANGED}")


def _check_compared(found: Endpoint | None, instead_of: Deployed | None) -> None:
    if found and found.configuration != (instead_of and instead_of.configuration):
        raise DeploymentError(
            f"The endpoint {found.name} now serves with {found.configuration}, with which this model was not compared: "
            f"another run was at work. {UNCHANGED} Run this again."
        )


def _check_serves(found: Endpoint) -> None:
    if found.status != IN_SERVICE:
        said = f": {found.reason.rstrip('.')}" if found.reason else ""
        raise DeploymentError(
            f"The endpoint {found.name} is {found.status}{said}. It cannot be updated, and was not changed. See in "
            "SageMaker's console what it serves; once it is InService, or deleted, run this again."
        )


def _never_served(found: Endpoint) -> bool:
    # Deleting is all that can be done with one that failed. One that has instances may serve yet: a person decides.
    return found.status == FAILED and not found.instances


def _create_model(client: Client, stored: Stored, serving: Serving) -> None:
    name = serving.model(stored.hash)
    container = {"Image": serving.image, "ModelDataUrl": stored.archive}
    asked = {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": serving.role}
    with plain(f"create the model {name}"):
        try:
            client.create_model(**asked)
            return
        except ClientError as error:
            if not is_there_already(error):
                raise
        found = client.describe_model(ModelName=name)
    had = {**found.get("PrimaryContainer", {}), "role": found.get("ExecutionRoleArn")}
    for key, value in {**container, "role": serving.role}.items():
        if had.get(key) != value:
            raise DeploymentError(
                f"SageMaker has a model {name} with {key} {had.get(key)}, and now it is {value}. {UNCHANGED} Delete "
                "that model if it does not serve, or set the image and the role back."
            )


def _create_configuration(client: Client, hash: str, serving: Serving) -> None:
    name = serving.configuration(hash)
    variant = {
        "VariantName": VARIANT,
        "ModelName": serving.model(hash),
        "InstanceType": serving.instance,
        "InitialInstanceCount": serving.instances,
        "InitialVariantWeight": 1.0,
    }
    with plain(f"create the configuration {name}"):
        try:
            client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        except ClientError as error:
            if not is_there_already(error):
                raise
        # The documentation of CreateEndpoint asks for this: what was just created may not be seen at once.
        client.describe_endpoint_config(EndpointConfigName=name)


def _delete(client: Client, name: str, serving: Serving) -> None:
    with plain(f"delete the endpoint {name}, which failed and never served"):
        client.delete_endpoint(EndpointName=name)
    settled(client, name, serving.seconds, serving.every)


def _change(client: Client, before: Endpoint | None, wanted: str, serving: Serving) -> None:
    name = serving.endpoint
    if before is None:
        with plain(f"create the endpoint {name}", LATER):
            client.create_endpoint(EndpointName=name, EndpointConfigName=wanted)
        return
    asked = {"EndpointName": name, "EndpointConfigName": wanted}
    if serving.alarms:
        asked["DeploymentConfig"] = {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": WATCHED}
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm} for alarm in serving.alarms]},
        }
    with plain(f"update the endpoint {name}", LATER):
        client.update_endpoint(**asked)


def _check_changed(before: Endpoint | None, after: Endpoint | None, wanted: str, name: str) -> None:
    if after and after.status == IN_SERVICE and after.configuration == wanted:
        return
    if after is None:
        raise DeploymentError(f"The endpoint {name} was deleted while it was deployed to. Run this again.")
    reason = after.reason.rstrip(".") or "SageMaker gives no reason"
    if before and after.status == IN_SERVICE and after.configuration == before.configuration:
        raise DeploymentError(
            f"The endpoint {name} did not take {wanted}: {reason}. It serves with {before.configuration} as before."
        )
    if after.status == IN_SERVICE:
        raise DeploymentError(
            f"The endpoint {name} serves with {after.configuration}, and not with {wanted}: another run was at work "
            "and has deployed its own. Run this again."
        )
    if before is None and _never_served(after):
        raise DeploymentError(f"The endpoint {name} could not be created: {reason}. Mend that, and run this again.")
    raise DeploymentError(
        f"The endpoint {name} is {after.status} with {after.configuration}, and not with {wanted}: {reason}. See in "
        "SageMaker's console what it serves, then run this again."
    )
