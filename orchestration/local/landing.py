"""The demo's files, in the local S3."""

from orchestration.local.demos.demo import FOLDER
from orchestration.local.services import Services
from orchestration.settings import PREFIX


def land_demo(services: Services) -> None:
    """Land all files that `make setup` has made."""
    for path in sorted(FOLDER.rglob("*.csv")):
        services.s3.land(PREFIX + path.relative_to(FOLDER).as_posix(), path)
