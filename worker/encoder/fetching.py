"""Puts a model's files into this machine's hub cache before anything needs them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from worker.encoder.files import check_names, is_wanted, locate
from worker.encoder.loading import STARTER
from worker.errors import ConfigurationError, ModelUnavailableError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_model(model: str, revision: str | None = None, source: Path | None = None) -> str:
    """Fetch a model; returns its path and commit, in words.

    Args:
        model: ``starter``, a hub id, or a directory: for the first and the last there is nothing to do.
        revision: a hub branch, tag or commit (default: ``main``).
        source: copy it from this directory instead of asking the hub.

    Raises:
        ModelUnavailableError: it is found neither on disk nor at the hub.
        ModelUnsupportedError: its files are incomplete, or pickled.
        ConfigurationError: the source does not say, or is not told, which commit it is.
    """
    if model == STARTER:
        return "comes with the package (its extra 'starter'), nothing to fetch"
    if source is not None:
        try:
            _copy(model, revision, source)
        except OSError as error:
            raise ModelUnavailableError(
                f"{model} cannot be copied from {source} ({error}): check that {source} can be read, and that "
                "HF_HOME, which holds the hub cache, is writable and has room"
            ) from error
    found = locate(model, revision)
    return f"{found.revision} in {found.path}"


def _copy(model: str, revision: str | None, source: Path) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=model, repo_type="model")
    for cache in (source, source / "hub"):
        if (cache / name).is_dir():
            _copy_cache(cache / name, Path(HF_HUB_CACHE) / name)
            return
    if not source.is_dir():
        raise ModelUnavailableError(f"directory {source} does not exist: name one with {model}'s files, or a hub cache")
    check_names(str(source), {file.name for file in source.iterdir()})
    _copy_files(source, Path(HF_HUB_CACHE) / name / "snapshots" / _commit(model, revision))


def _copy_cache(source: Path, target: Path) -> None:
    """Copy all of a model from another cache, even over an earlier copy; blobs before the links to them."""
    if target.exists() and target.samefile(source):
        return
    for file in sorted(source.rglob("*")):
        if file.is_symlink() or file.is_file():
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy2(file, copy, follow_symlinks=False)


def _copy_files(source: Path, snapshot: Path) -> None:
    """Copy the needed files of a model's directory, all or none."""
    unfinished = snapshot.with_name(f"{snapshot.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and is_wanted(file.name):
            shutil.copyfile(file, unfinished / file.name)
    shutil.rmtree(snapshot, ignore_errors=True)
    unfinished.rename(snapshot)


def _commit(model: str, revision: str | None) -> str:
    if revision is None or not _COMMIT.fullmatch(revision):
        raise ConfigurationError(
            f"the commit of {model} that these files belong to is unknown, but vectors of two are never compared: set "
            "ENRICH_MODEL_REVISION, or --revision, to the 40 hex digits of the commit that was downloaded"
        )
    return revision
