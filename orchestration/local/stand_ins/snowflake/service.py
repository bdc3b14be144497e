"""Snowflake on this machine: fakesnow's server as a process of its own, with TLS on loopback.

It is reached as Snowflake is: by account, user and key pair, through a host and a port. Each account is a world of its
own, in memory, with a stage over a part of the local S3.
"""

import ipaddress
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from jinja2 import Environment

from orchestration.local.errors import LocalError
from orchestration.local.runtime.processes import Supervised, free_port
from orchestration.local.stand_ins.s3 import KEY, REGION, SECRET, Storage

HOST = "127.0.0.1"
# Unmistakable, so that it is found wherever it should not stand.
PASSPHRASE = "passphrase-of-the-local-key"
USER, ROLE, COMPUTE, DATABASE = "etl_user", "transformer", "COMPUTE_WH", "analytics"
# Whom an account has from the beginning.
ADMINISTRATOR = "administrator"
SETUP = Path(__file__).resolve().parents[3] / "snowflake" / "setup.sql"
START_SECONDS = 60
# The client takes whom it trusts from the environment alone.
TRUSTED = "REQUESTS_CA_BUNDLE"


@dataclass(frozen=True)
class Snowflake:
    """A server, and what a client needs to reach it."""

    server: Supervised
    port: int
    storage: Storage
    private_key: rsa.RSAPrivateKey
    # Whom a client trusts: what it always does, and the certificate of this server.
    trusted: Path

    def environment(self, account: str = "local") -> dict[str, str]:
        """What dbt's profile and its connector read."""
        return {
            "DBT_TARGET": "snowflake",
            "SNOWFLAKE_ACCOUNT": account,
            "SNOWFLAKE_HOST": HOST,
            "SNOWFLAKE_PORT": str(self.port),
            "SNOWFLAKE_USER": USER,
            "DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY": b64encode(self._key()).decode(),
            "SNOWFLAKE_ROLE": ROLE,
            "SNOWFLAKE_WAREHOUSE": COMPUTE,
            "SNOWFLAKE_DATABASE": DATABASE,
            TRUSTED: str(self.trusted),
        }

    def connection(self, account: str = "local") -> dict:
        """The Airflow connection `snowflake_prod`; its password is the key's passphrase."""
        extra = {
            "account": account,
            "host": HOST,
            "port": self.port,
            "role": ROLE,
            "warehouse": COMPUTE,
            "database": DATABASE,
            "private_key_content": self.private_key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())
            ).decode(),
        }
        return {"conn_type": "snowflake", "login": USER, "password": PASSPHRASE, "extra": extra}

    def _key(self) -> bytes:
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def connect(self, account: str = "local", **other: str):
        """A connection of the official client, by key pair; `other` replaces user, role, warehouse, ..."""
        import snowflake.connector

        os.environ[TRUSTED] = str(self.trusted)
        whom = {"user": USER, "role": ROLE, "warehouse": COMPUTE, "database": DATABASE, "schema": "staging"}
        return snowflake.connector.connect(
            account=account,
            host=HOST,
            port=self.port,
            private_key=self._key(),
            platform_detection_timeout_seconds=0,  # it would ask the clouds where it runs
            **(whom | other),
        )

    def prepare(self, account: str = "local", prefix: str = "") -> None:
        """What an administrator does once in an account: run setup.sql, for a stage over a part of the bucket."""
        public_key = self.private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.run_script(
            account,
            SETUP,
            landing_url=f"s3://{self.storage.bucket}/{prefix}",
            aws_role_arn="arn:aws:iam::000000000000:role/none",
            public_key=b64encode(public_key).decode(),
        )

    def run_script(self, account: str, script: Path, **values: str) -> None:
        """Run a script as `snow sql -f` does, by the account's administrator."""
        with self.connect(account, user=ADMINISTRATOR, role="ACCOUNTADMIN", warehouse="") as connection:
            for statement in statements_of(script, **values):
                connection.cursor().execute(statement)


def statements_of(script: Path, **values: str) -> list[str]:
    """The statements of a script, as `snow sql -f` reads it; `values` stand between <% and %>."""
    from snowflake.connector.util_text import split_statements

    text = Environment(variable_start_string="<%", variable_end_string="%>").from_string(script.read_text())
    found = split_statements(StringIO(text.render(values)), remove_comments=True)
    return [statement.strip().rstrip(";") for statement, _ in found if statement.strip()]


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    """A certificate for this server alone: (certificate, its key, what a client is to trust)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Snowflake on this machine")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    files = folder / "server.pem", folder / "server.key", folder / "trusted.pem"
    pem = certificate.public_bytes(Encoding.PEM)
    files[0].write_bytes(pem)
    files[1].touch(mode=0o600)
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    always = Path(os.environ.get(TRUSTED, certifi.where()))
    files[2].write_bytes(always.read_bytes() + b"\n" + pem)
    return files


def _wait(server: Supervised, port: int, certificate: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"https://{HOST}:{port}/session", timeout=5, context=context)
        except urllib.error.HTTPError:
            return  # it answers
        except OSError as error:
            server.check()
            if time.monotonic() > deadline:
                raise LocalError(f"The local Snowflake did not start ({error}); its log is {server.log}.") from None
            time.sleep(0.1)


@contextmanager
def snowflake(folder: Path, storage: Storage) -> Iterator[Snowflake]:
    """Serve Snowflake on a free port, ready for use; gone when the block, or this process, ends."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key, trusted = _certificate(folder)
    # Shorter than a real one, for it never leaves this machine, and the client checks it anew for each session.
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    public_key = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    port = free_port()
    settings = {
        "port": port,
        "certificate": str(certificate),
        "key": str(key),
        "public_key": public_key.decode(),
        "storage": {
            "endpoint_url": storage.endpoint,
            "region_name": REGION,
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
        },
    }
    server = Supervised(
        "Snowflake",
        [sys.executable, "-m", "orchestration.local.stand_ins.snowflake.server", json.dumps(settings)],
        log=folder / "snowflake.log",
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    trusted_before = os.environ.get(TRUSTED)
    try:
        _wait(server, port, certificate)
        yield Snowflake(server, port, storage, private_key, trusted)
    finally:
        server.stop()
        os.environ.pop(TRUSTED, None)
        if trusted_before is not None:
            os.environ[TRUSTED] = trusted_before
