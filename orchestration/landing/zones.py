"""Landing zones: a folder, or a bucket of S3. Both list files, open one, and say whether it is still what it was."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from errno import ENOENT
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import duckdb

from orchestration import settings
from orchestration.landing.sql import literal

# What names a landing root, for errors.
LANDING_ROOT = "LANDING_ROOT"
BLOCK = 1 << 20
# Below raw/<feed>/<date>/
FILE_OF_A_DAY = re.compile(r"[^/]+\.csv(\.gz)?")
CREDENTIALS = (
    f"In Airflow the credentials come from the connection {settings.AWS_CONNECTION}, elsewhere from AWS_ACCESS_KEY_ID "
    "and AWS_SECRET_ACCESS_KEY or a profile."
)
# What S3 answers when it is not the object that it refuses, but who asks, or for now.
OF_ALL_OBJECTS = {
    *("AuthFailure", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity"),
    *("InvalidToken", "NotSignedUp", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired"),
    *("NoSuchBucket", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests", "401", "408", "429"),
}
GONE = "it has gone since it was listed"


class LandingError(RuntimeError):
    """Says why a landing zone could not be loaded, and what to do."""


@dataclass(frozen=True)
class LandedFile:
    """A file in the landing zone.

    `path` is relative to the landing root and is what the file is known by; `url` is what DuckDB reads;
    `fingerprint` changes whenever the content may have changed, and is cheap to get.
    """

    path: str
    url: str
    file_date: date
    fingerprint: str


class FolderZone:
    """A landing zone in a local folder."""

    def __init__(self, root: str, variable: str = LANDING_ROOT):
        self.root = Path(root)
        if not self.root.is_dir():
            raise LandingError(
                f"The landing root {root} is not a folder. Set {variable} to a folder or to s3://bucket; "
                "`make setup` makes the demo's."
            )

    def entries(self, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
        """Yields (path, url, fingerprint) of the files below a prefix; of a folder that is deeper only the path."""

        def stop(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise LandingError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error

        for folder, folders, names in os.walk(self.root / prefix, onerror=stop, followlinks=True):
            path = Path(folder).relative_to(self.root)
            if len(path.parts) >= depth:
                # A folder with the name of a file is a file that cannot be read.
                names += [name for name in folders if FILE_OF_A_DAY.fullmatch(name)]
                yield from ((f"{path.as_posix()}/{name}/...", "", "") for name in folders if name not in names)
                folders.clear()
            for name in names:
                full = Path(folder, name)
                yield (path / name).as_posix(), str(full), self._fingerprint(full)

    def open(self, file: LandedFile) -> BinaryIO:
        # A pipe would be waited for, a device read without end.
        if not stat.S_ISREG(Path(file.url).stat().st_mode):
            raise OSError("it is no regular file")
        return Path(file.url).open("rb")

    def unchanged(self, file: LandedFile) -> bool:
        """Whether the file is still the one that was listed."""
        return self._fingerprint(Path(file.url)) == file.fingerprint

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turns the errors of a storage that is out of reach into plain ones."""
        return nullcontext()

    @staticmethod
    def _fingerprint(path: Path) -> str:
        """Empty for one that has gone, or for a link that leads nowhere or in a circle."""
        try:
            found = path.stat()
        except OSError:
            return ""
        # The change time tells a rewrite that keeps size and modification time.
        return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


class S3Zone:
    """A landing zone in a bucket, with boto3's own credentials and settings."""

    def __init__(self, root: str, connection: duckdb.DuckDBPyConnection | None, variable: str = LANDING_ROOT):
        import boto3
        from botocore.config import Config

        self.root, self.variable = root, variable
        self.bucket, _, self.base = root.removeprefix("s3://").rstrip("/").partition("/")
        tries = {"total_max_attempts": settings.S3_ATTEMPTS, "mode": "standard"}
        seconds = settings.S3_SECONDS
        with self.reading(root):
            session = boto3.Session()
            self.client = session.client(
                "s3", config=Config(connect_timeout=seconds, read_timeout=seconds, retries=tries)
            )
            if connection:
                self._let_duckdb_read(session, connection)

    def entries(self, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
        """Yields (path, url, fingerprint) of every object below a prefix, however deep."""
        base = f"{self.base}/" if self.base else ""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base + prefix):
            for item in page.get("Contents", []):
                yield (
                    item["Key"].removeprefix(base),
                    f"s3://{self.bucket}/{item['Key']}",
                    f"{item['Size']}-{item['ETag']}-{item['LastModified'].isoformat()}",
                )

    def open(self, file: LandedFile) -> BinaryIO:
        with self._of_the_object():
            body = self.client.get_object(Bucket=self.bucket, Key=self._key(file))["Body"]
        # Unlike the body by itself, which `with` would undo of its check that all of it came.
        return io.BufferedReader(body, BLOCK)

    def unchanged(self, file: LandedFile) -> bool:
        """Whether the object is still the one that was listed."""
        try:
            with self._of_the_object():
                head = self.client.head_object(Bucket=self.bucket, Key=self._key(file))
        except OSError:
            return False
        return f"{head['ContentLength']}-{head['ETag']}-{head['LastModified'].isoformat()}" == file.fingerprint

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turns the errors of a storage that is out of reach into plain ones."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, duckdb.IOException) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            if isinstance(error, duckdb.IOException) and "HTTP" not in reason:
                raise
            answer = getattr(error, "response", None) or {}
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or getattr(error, "status_code", 0)
            if answer.get("Error", {}).get("Code") == "NoSuchBucket":
                of_airflow = ", in Airflow PIPELINES_BUCKET," if self.variable == LANDING_ROOT else ""
                advice = f"Set {self.variable}{of_airflow} to a bucket that is there."
            elif status in (400, 401, 403):
                advice = CREDENTIALS
            else:
                advice = "Once S3 answers, run this again: no file was taken in part."
            raise LandingError(f"S3 did not give {what}: {reason}. {advice}") from error

    @staticmethod
    @contextmanager
    def _of_the_object() -> Iterator[None]:
        """Makes what S3 says of a single object, whatever it is, what a folder says of a file."""
        from botocore.exceptions import ClientError

        try:
            yield
        except ClientError as error:
            status, answer = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]
            if not 400 <= status < 500 or {answer["Code"], str(status)} & OF_ALL_OBJECTS:
                raise
            if status == 404:
                raise FileNotFoundError(ENOENT, GONE) from error
            said = f"S3 answers {status} {answer['Code']}: {answer.get('Message', '')}"
            raise OSError(" ".join(said.split())[:300].rstrip(".: ")) from error

    def _key(self, file: LandedFile) -> str:
        return file.url.removeprefix(f"s3://{self.bucket}/")

    def _let_duckdb_read(self, session, connection: duckdb.DuckDBPyConnection) -> None:
        import duckdb_extensions

        credentials = session.get_credentials()
        if credentials is None:
            raise LandingError(f"No AWS credentials for s3://{self.bucket}. {CREDENTIALS}")
        frozen = credentials.get_frozen_credentials()
        asked = urlsplit(self.client.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": "x"}))
        scheme, _, endpoint = self.client.meta.endpoint_url.partition("://")
        secret = {
            "key_id": frozen.access_key,
            "secret": frozen.secret_key,
            "session_token": frozen.token or "",
            "region": self.client.meta.region_name,
            "endpoint": endpoint,
            # As boto3 names the bucket.
            "url_style": "vhost" if asked.netloc.startswith(f"{self.bucket}.") else "path",
            "use_ssl": str(scheme == "https").lower(),
        }
        duckdb_extensions.import_extension("httpfs")
        connection.execute("load httpfs")
        connection.execute(f"set global http_timeout = {settings.S3_SECONDS}")
        connection.execute(f"set global http_retries = {settings.S3_ATTEMPTS - 1}")
        body = ", ".join(f"{key} {literal(value)}" for key, value in secret.items())
        connection.execute(f"create or replace secret landing_zone (type s3, {body})")


Zone = FolderZone | S3Zone


def zone_at(root: str, connection: duckdb.DuckDBPyConnection | None = None, variable: str = LANDING_ROOT) -> Zone:
    """The landing zone at a folder or an `s3://` URL; the connection, if one is given, can read the files of it.

    `variable` is what names the root, for errors.
    """
    return S3Zone(root, connection, variable) if root.startswith("s3://") else FolderZone(root, variable)
