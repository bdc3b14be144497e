"""Where models are kept, in a folder or a bucket: each below the hash of its bytes, created once, never changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration import settings
from orchestration.churn import card as cards
from orchestration.churn.archive import ARCHIVE, packed, unpacked
from orchestration.churn.errors import ChurnError
from orchestration.churn.page import page
from orchestration.churn.scoring import Model, model
from orchestration.events.objects import objects_at
from orchestration.landing.zones import LandingError

CARD, PAGE = "card.json", "card.html"
ROOT = f"s3://{settings.MODELS_BUCKET}"
VARIABLE = "PIPELINES_MODELS_BUCKET"


@dataclass(frozen=True)
class Stored:
    """A model that is stored below `root`."""

    root: str
    hash: str

    @property
    def archive(self) -> str:
        """Where its archive is, as SageMaker reads it."""
        return f"{self.root.rstrip('/')}/{self.hash}/{ARCHIVE}"

    @property
    def page(self) -> str:
        """Where its page is."""
        return f"{self.root.rstrip('/')}/{self.hash}/{PAGE}"


def files(content: bytes, card: Mapping) -> dict[str, bytes]:
    """What is kept of a model, by name. The archive is last: where it is, all is."""
    return {CARD: cards.written(card), PAGE: page(card), ARCHIVE: packed(content)}


def store(content: bytes, card: Mapping, root: str = ROOT) -> Stored:
    """Stores a model; one that is there stays as it is. What a run that was killed began is completed."""
    hash = card["model"]["hash"]
    try:
        objects = objects_at(root, VARIABLE)
        for name, body in files(content, card).items():
            objects.create(f"{hash}/{name}", body)
    except LandingError as error:
        raise ChurnError(f"The model {hash[:16]} was not stored in {root}. {error}") from error
    load(hash, root)
    return Stored(root, hash)


def load(hash: str, root: str = ROOT) -> Model:
    """A stored model with its card; a ChurnError if it is not there or not what its hash says."""
    try:
        objects = objects_at(root, VARIABLE)
        archive, card = objects.read(f"{hash}/{ARCHIVE}"), objects.read(f"{hash}/{CARD}")
    except LandingError as error:
        raise ChurnError(f"The model {hash[:16]} cannot be read from {root}. {error}") from error
    place = Stored(root, hash).archive
    if archive is None or card is None:
        missing = place if archive is None else f"{root.rstrip('/')}/{hash}/{CARD}"
        raise ChurnError(f"{missing} is not there: the model was not stored, or was deleted. Train it again.")
    content = unpacked(archive, place)
    if hashlib.sha256(content).hexdigest() != hash:
        raise ChurnError(f"{place} holds another model than its name says. Delete it, and train the model again.")
    return model(content, cards.read(card, f"{root.rstrip('/')}/{hash}/{CARD}"), hash)
