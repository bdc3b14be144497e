"""The archive that SageMaker's XGBoost container serves: exactly one file, without a time or an owner in it."""

from __future__ import annotations

import gzip
import io
import tarfile

from orchestration.churn.errors import ChurnError

ARCHIVE = "churn_model_v3.tar.gz"
FILE = "xgboost-model"


def packed(model: bytes) -> bytes:
    """The archive of a model; the same model gives the same bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(FILE)
        entry.size, entry.mode = len(model), 0o644
        archive.addfile(entry, io.BytesIO(model))
    return gzip.compress(content.getvalue(), mtime=0)


def unpacked(archive: bytes, where: str) -> bytes:
    """The model in an archive; `where` that lies stands in the error."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as found:
            names = found.getnames()
            if names != [FILE]:
                raise ChurnError(f"{where} must hold the one file {FILE}, and holds: {', '.join(names)}.")
            return found.extractfile(FILE).read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ChurnError(f"{where} is no archive of a model: {error}.") from error
