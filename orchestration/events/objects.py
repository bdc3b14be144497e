"""Objects that are created once: in a folder, or in a bucket of S3. Paths are relative to the landing root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from orchestration.landing.zones import FolderZone, LandingError, S3Zone, zone_at

# The end of an object is read by itself: the metadata of a Parquet file of one row group is much shorter.
END_BYTES = 1 << 16
# Other users read what has landed; a temporary file is for its own user only.
READABLE = 0o644
# How far back from a log's end the last object of a chain is looked for first, in offsets, and then so much farther.
NEAR, FARTHER = 1 << 17, 16


class FolderObjects:
    """Objects in a local folder."""

    def __init__(self, zone: FolderZone):
        self.root = zone.root

    def create(self, path: str, content: bytes) -> bool:
        """Creates an object whole or not at all; False, and nothing is changed, where there is one already."""
        full = self.root / path
        with self._plain(f"{path} cannot be written"):
            full.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(prefix=f".{full.name}.", suffix=".part", dir=full.parent) as part:
                part.write(content)
                part.flush()
                os.fsync(part.fileno())
                os.fchmod(part.fileno(), READABLE)
                try:
                    # Unlike a rename, a link never takes the place of a file that is there.
                    os.link(part.name, full)
                except FileExistsError:
                    return False
            folder = os.open(full.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return True

    def read(self, path: str) -> bytes | None:
        """The content of an object, None if there is none."""
        with self._plain(f"{path} cannot be read"):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def end_of(self, path: str) -> bytes:
        """The last bytes of an object."""
        with self._plain(f"{path} cannot be read"), (self.root / path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
            return file.read()

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder; none if there is no such folder."""
        return [entry.name for entry in self._entries(folder) if entry.is_dir()]

    def last(self, folder: str, near: int) -> str | None:
        """The greatest name of an object in the folder of a chain, None if there is none. `near` is for S3."""
        # What begins with a dot is being written, or was by a run that was killed.
        return max((entry.name for entry in self._entries(folder) if not entry.name.startswith(".")), default=None)

    def after(self, folder: str, name: str) -> list[str]:
        """The names of the objects in a folder that are greater than a name."""
        names = (entry.name for entry in self._entries(folder) if not entry.name.startswith("."))
        return sorted(found for found in names if found > name)

    def _entries(self, folder: str) -> list[os.DirEntry]:
        with self._plain(f"The folder {folder} cannot be listed"):
            try:
                return list(os.scandir(self.root / folder))
            except FileNotFoundError:
                return []

    @staticmethod
    @contextmanager
    def _plain(what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LandingError(f"{what}: {error.strerror}.") from error


class S3Objects:
    """Objects in a bucket."""

    def __init__(self, zone: S3Zone):
        self.zone, self.client, self.bucket = zone, zone.client, zone.bucket
        self.base = f"{zone.base}/" if zone.base else ""

    def create(self, path: str, content: bytes) -> bool:
        """Creates an object whole or not at all; False, and nothing is changed, where there is one already.

        False too where another one is being created at this moment, or where an answer was lost and the object is
        there from the first attempt: whoever asks looks at what is there.
        """
        with self.zone.reading(f"leave to write {path}"):
            try:
                self.client.put_object(Bucket=self.bucket, Key=self.base + path, Body=content, IfNoneMatch="*")
            except self.client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                raise
        return True

    def read(self, path: str) -> bytes | None:
        """The content of an object, None if there is none."""
        with self.zone.reading(path):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=self.base + path)["Body"].read()
            except self.client.exceptions.NoSuchKey:
                return None

    def end_of(self, path: str) -> bytes:
        """The last bytes of an object."""
        with self.zone.reading(path):
            asked = {"Bucket": self.bucket, "Key": self.base + path, "Range": f"bytes=-{END_BYTES}"}
            return self.client.get_object(**asked)["Body"].read()

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder; none if there is no such folder."""
        prefix = f"{self.base}{folder}/"
        pages = self.client.get_paginator("list_objects_v2")
        with self.zone.reading(f"what is in {folder}"):
            found = [page.get("CommonPrefixes", []) for page in pages.paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )]  # fmt: skip
        return [item["Prefix"].removeprefix(prefix).rstrip("/") for page in found for item in page]

    def last(self, folder: str, near: int) -> str | None:
        """The greatest name of an object in the folder of a chain, None if there is none.

        `near` is an offset at which the chain may end: a bucket is listed forward only, and a chain grows for years.
        """
        prefix, width = f"{self.base}{folder}/", NEAR
        pages = self.client.get_paginator("list_objects_v2")
        while True:
            after = max(0, near - width)
            with self.zone.reading(f"what is in {folder}"):
                found = [
                    item["Key"].removeprefix(prefix)
                    for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=f"{prefix}{after:020d}")
                    for item in page.get("Contents", [])
                ]
            if found or not after:
                return max(found, default=None)
            width *= FARTHER

    def after(self, folder: str, name: str) -> list[str]:
        """The names of the objects in a folder that are greater than a name."""
        prefix = f"{self.base}{folder}/"
        pages = self.client.get_paginator("list_objects_v2")
        with self.zone.reading(f"what is in {folder}"):
            return [
                item["Key"].removeprefix(prefix)
                for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=prefix + name)
                for item in page.get("Contents", [])
            ]


Objects = FolderObjects | S3Objects


def objects_at(root: str, variable: str = "LANDING_ROOT") -> Objects:
    """The objects below a root, a folder or an `s3://` URL. A `LandingError` says why there are none.

    `variable` is what names the root, for errors.
    """
    zone = zone_at(root, variable=variable)
    return S3Objects(zone) if isinstance(zone, S3Zone) else FolderObjects(zone)
