"""Finds a model's files, in a directory or through the hub, and says exactly which version of the model they are.

Only data is ever fetched or read: safetensors weights, JSON and tokenizer tables. No pickle, no code.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from worker.encoder import weights
from worker.encoder.inside import found, read_json
from worker.encoder.vetting import (
    CONFIG,
    NOT_A_CONFIGURATION,
    PREPROCESSORS,
    TOKENIZER_OPTIONS,
    VOCABULARIES,
    refuse_adapters,
)
from worker.errors import ConfigurationError, ModelUnavailableError, ModelUnsupportedError

_PICKLES = re.compile(r".*\.(bin|pt|pth|ckpt|pkl)")
_WANTED = (CONFIG, "model*.safetensors", weights.INDEX, *PREPROCESSORS, *VOCABULARIES, *TOKENIZER_OPTIONS)

#: Seconds for the one request that finds out whether the hub can be reached.
_HUB_TIMEOUT = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFiles:
    """A complete model on this machine's disk."""

    path: Path
    name: str  # what the embedding space calls it
    revision: str  # hub commit, or the digest of a local directory


def locate(model: str, revision: str | None) -> ModelFiles:
    """Find a model's files, from a directory, the hub's cache, or the hub, in that order.

    A model that is in the cache is taken from there without asking the hub: a restart never depends on the network,
    and never moves to a newer commit by itself.

    Args:
        model: a directory, or a hub id such as ``openai/clip-vit-base-patch32``.
        revision: a hub branch, tag or commit (default: ``main``). For a directory, its expected digest.

    Raises:
        ModelUnavailableError: the files cannot be found anywhere.
        ModelUnsupportedError: the files are incomplete, or there are only pickled weights.
        ConfigurationError: a directory's digest is not the revision asked for.
    """
    path = Path(model).expanduser()
    if model.strip() and path.is_dir():
        return _directory(path, revision)
    if path.exists() or _looks_like_a_path(model):
        raise ModelUnavailableError(f"ENRICH_MODEL is {model!r}, but there is no such directory. {ways_out()}")
    return _cached(model, revision) or _downloaded(model, revision)


def is_wanted(name: str) -> bool:
    """Whether a model's file is one that is ever read."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _WANTED)


def ways_out() -> str:
    """What to do if a model is unavailable."""
    return (
        f"Two ways out: set ENRICH_MODEL to a directory that holds {CONFIG}, {weights.SINGLE}, {PREPROCESSORS[0]} and "
        "the tokenizer's files; or let this machine reach the model hub once, or copy a filled hub cache (HF_HOME) to "
        "it. To try the product without a model, set ENRICH_MODEL=starter."
    )


def check_names(model: str, names: Collection[str]) -> None:
    """Refuse a set of file names that cannot be a complete, safe image–text model.

    Raises:
        ModelUnsupportedError: names what is missing and what to do about it.
    """
    if CONFIG not in names:
        raise ModelUnsupportedError(f"{model} has no {CONFIG}: {_no_config(names)}")
    if weights.SINGLE not in names and weights.INDEX not in names:
        raise ModelUnsupportedError(f"{model} has no {weights.SINGLE}: {_no_weights(names)}")
    if not any(name in names for name in PREPROCESSORS):
        raise ModelUnsupportedError(
            f"{model} has no {PREPROCESSORS[0]}, so nothing says how its pictures must be prepared; "
            "copy it from the model this one was made from"
        )
    if not any(name in names for name in VOCABULARIES):
        raise ModelUnsupportedError(
            f"{model} has no tokenizer (one of {', '.join(VOCABULARIES)}); "
            "copy it from the model this one was made from"
        )


def _no_config(names: Collection[str]) -> str:
    if any(name.startswith("open_clip") for name in names):
        return "it is in OpenCLIP's own format; use its export for transformers"
    return "it is not a model saved by transformers' save_pretrained"


def _no_weights(names: Collection[str]) -> str:
    if any(_PICKLES.fullmatch(name) for name in names):
        return (
            "its weights are pickled, and unpickling runs whatever code the file holds. On the hub, the model's "
            "Community page often has a pull request that adds safetensors: set ENRICH_MODEL_REVISION=refs/pr/ and its "
            "number. Or convert the model where that is safe: load it and call save_pretrained"
        )
    return "its weights are missing; copy or download them again"


def _looks_like_a_path(model: str) -> bool:
    return model.startswith((".", "/", "~", "\\")) or model.count("/") > 1 or "\\" in model or not model.strip()


def _directory(path: Path, revision: str | None) -> ModelFiles:
    check_names(str(path), {file.name for file in path.iterdir() if file.is_file()})
    refuse_adapters(path)
    digest = _digest(path)
    if revision is not None and revision != digest:
        raise ConfigurationError(
            f"ENRICH_MODEL_REVISION is {revision}, but the model in {path} is {digest}; correct the one or the other"
        )
    return ModelFiles(path=path, name=_name(path), revision=digest)


def _name(path: Path) -> str:
    """The hub id the model was saved from if its config knows it, else ``local/<model type>``.

    Never the directory's own name: moving or renaming a directory must not make a new embedding space.
    """
    config = read_json(path, CONFIG, kind=NOT_A_CONFIGURATION)
    origin, kind = str(config.get("_name_or_path", "")), str(config.get("model_type", "unknown"))
    return origin if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", origin) else f"local/{kind}"


def _digest(path: Path) -> str:
    """40 hex digits over the contents of configuration, weights and tokenizer: the same wherever the directory is.

    How pictures are prepared is not in it: that is the space's ``preprocessing``.
    """
    decisive = (*weights.names(path), CONFIG, *VOCABULARIES, *TOKENIZER_OPTIONS)
    hashes = {name: _sha256(found(path, name)) for name in decisive if (path / name).is_file()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()[:40]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cached(model: str, revision: str | None) -> ModelFiles | None:
    """The model in the hub's cache, if it is complete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        path = snapshot_download(model, revision=revision, allow_patterns=list(_WANTED), local_files_only=True)
        found = _snapshot(model, Path(path))
    except (LocalEntryNotFoundError, ModelUnsupportedError):
        return None  # nothing, or a part that something else has downloaded
    except HFValidationError as error:
        raise ModelUnavailableError(f"{model!r} is neither a directory nor a hub id. {ways_out()}") from error
    return found


def _snapshot(model: str, path: Path) -> ModelFiles:
    check_names(model, {file.name for file in path.iterdir()})
    refuse_adapters(path)
    weights.names(path)
    return ModelFiles(path=path, name=model, revision=path.name)


def _downloaded(model: str, revision: str | None) -> ModelFiles:
    """List the model's files on the hub, refuse an unusable model early, then fetch the files."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(model, revision=revision, timeout=_HUB_TIMEOUT)
        check_names(model, {sibling.rfilename for sibling in info.siblings or ()})
        # By the name asked for, not by info.sha: only so does the cache remember which commit the name meant.
        path = snapshot_download(model, revision=revision, allow_patterns=list(_WANTED))
    except ModelUnsupportedError:
        raise
    except Exception as error:  # which HTTP library's errors come through depends on huggingface_hub's version
        wanted = f"{model!r} at {revision}" if revision else repr(model)
        raise ModelUnavailableError(
            f"the model {wanted} is not in this machine's hub cache and {_why(error)}. {ways_out()}"
        ) from error
    return _snapshot(model, Path(path))


def _why(error: Exception) -> str:
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return "its owner asks for consent first: accept the terms on its page and set HF_TOKEN"
    if kind == "RepositoryNotFoundError":
        return "the hub has no such model, or it is private and HF_TOKEN is not set"
    if kind == "RevisionNotFoundError":
        return "the hub has no such revision of it"
    first_line = next(iter(str(error).strip().splitlines()), "no details")
    return f"the hub does not answer ({kind}: {first_line})"
