"""Deletes old models from SageMaker. Those in the bucket stay: what a run trained can be looked at for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestration.churn.deploying import HASH, Serving
from orchestration.churn.endpoint import IN_SERVICE, Client, described, found_or_none, plain


def prune(client: Client, serving: Serving) -> list[str]:
    """Deletes this endpoint's models beyond the newest ones that are kept, and their configurations; returns the names.

    Never what serves; and nothing while SageMaker is at work on the endpoint, for who knows which one will serve.
    """
    name = re.compile(rf"({re.escape(serving.endpoint)}-[0-9a-f]{{{HASH}}})(-[0-9a-f]+)?")
    models = [found for found in _names(client, "list_models", "Models", "ModelName", serving) if name.fullmatch(found)]
    old = set(models[serving.kept :])
    deleted = []
    for configuration in _names(client, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", serving):
        found = name.fullmatch(configuration)
        if found and found[2] and found[1] in old:
            # Asked again before each: another run may deploy an old model anew.
            if (now := described(client, serving.endpoint)) is None or now.status != IN_SERVICE:
                return deleted
            if now.configuration == configuration:
                old.discard(found[1])
                continue
            found_or_none(
                lambda gone=configuration: client.delete_endpoint_config(EndpointConfigName=gone),
                f"delete the configuration {configuration}",
            )
            deleted.append(configuration)
    for model in [model for model in models if model in old]:
        now = described(client, serving.endpoint)
        if now is None or now.status != IN_SERVICE:
            return deleted
        if not now.configuration.startswith(model):
            found_or_none(lambda gone=model: client.delete_model(ModelName=gone), f"delete the model {model}")
            deleted.append(model)
    return deleted


def _names(client: Client, operation: str, what: str, key: str, serving: Serving) -> Iterator[str]:
    """The names of all that belong to the endpoint, the newest first."""
    asked = {"NameContains": serving.endpoint, "SortBy": "CreationTime", "SortOrder": "Descending"}
    with plain("list what is old"):
        pages = list(client.get_paginator(operation).paginate(**asked))
    return (one[key] for page in pages for one in page[what])
