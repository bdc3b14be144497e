"""S3 on this machine: moto's server, and a folder that remembers what was landed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

REGION = "us-east-1"
# Unmistakable, so that it is found wherever it should not stand.
KEY, SECRET = "key-of-the-local-s3", "secret-of-the-local-s3"


class Storage:
    """A bucket; what lands in it is also kept under `mirror`."""

    def __init__(self, endpoint: str, bucket: str, mirror: Path) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.mirror = mirror
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )
        self.client.create_bucket(Bucket=bucket)
        # A server that has ended leaves its objects to the next one of the same process.
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", []):
                self.client.delete_object(Bucket=bucket, Key=item["Key"])
        for path in sorted(mirror.rglob("*")):
            if path.is_file() and not path.name.endswith(".part"):
                self.client.upload_file(str(path), bucket, path.relative_to(mirror).as_posix())

    def keep(self, prefix: str) -> None:
        """Keep under `mirror` what others have written to the bucket below a prefix."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if not (path := self.mirror / item["Key"]).exists():
                    write_whole(path, self.client.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read())

    def has(self, url: str) -> bool:
        """Whether there is an object at a URL of this bucket."""
        prefix = f"s3://{self.bucket}/"
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=url.removeprefix(prefix), MaxKeys=1)
        return url.startswith(prefix) and bool(listed.get("Contents"))

    def landed(self, key: str) -> bytes | None:
        """What has landed under `key`, or None."""
        path = self.mirror / key
        return path.read_bytes() if path.is_file() else None

    def land(self, key: str, content: bytes | Path) -> bool:
        """Land a file; False if the very same content is there already."""
        content = content.read_bytes() if isinstance(content, Path) else content
        if self.landed(key) == content:
            return False
        path = self.mirror / key
        write_whole(path, content)
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)
        return True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there either whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


@contextmanager
def storage(bucket: str, mirror: Path) -> Iterator[Storage]:
    """Serve S3 on a free port of loopback, with `bucket` filled from the folder `mirror`."""
    from moto.server import ThreadedMotoServer  # takes a second, in which the database starts

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    mirror.mkdir(parents=True, exist_ok=True)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Storage(f"http://{host}:{port}", bucket, mirror)
    finally:
        server.stop()
