"""Chooses the space that an encoder fills, and the model that a process loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from worker import catalog, logs
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.errors import SpaceMismatchError
from worker.images import decoding
from worker.types import SpaceSpec

_log = logs.get("pipeline")

#: Loads a model, given its source and revision (None: any).
Load: TypeAlias = Callable[[str, str | None], Encoder]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSetting:
    """The model configured by ENRICH_MODEL and ENRICH_MODEL_REVISION."""

    model: str  # "starter", a hub id, or an absolute path
    revision: str | None


def space_spec(encoder: Encoder) -> SpaceSpec:
    """The encoder's space. It also depends on how files become pixels, which is decided outside the encoder."""
    return replace(encoder.space, preprocessing=f"{encoder.space.preprocessing}+{decoding(encoder.shrink_to)}")


def ensure_space(engine: Engine, encoder: Encoder, source: ModelSetting) -> Space:
    """A model's space, created if necessary: active if it is the first one, else filling."""
    while True:
        try:
            with transaction(engine) as connection:
                return catalog.spaces.ensure(connection, space_spec(encoder), source=source.model)
        except Exception as error:
            if not catalog.partitions.is_lock_timeout(error):
                raise
            _log.warning("the new space waits for long transactions that write images", action="space")


def load_for(space: Space, own: ModelSetting, load: Load) -> Encoder:
    """Load a space's model from where it was loaded when the space was created.

    If that is a directory which this machine does not have, what ENRICH_MODEL names is tried instead.

    Raises:
        ModelUnavailableError: it is not there.
        SpaceMismatchError: what is there is not the same.
    """
    encoder = load(*_locate_model(space, own))
    require_space(space, encoder)
    return encoder


def _locate_model(space: Space, own: ModelSetting) -> tuple[str, str | None]:
    """Where this machine has a space's model, and its revision; None for a directory, which has no other than its
    own.
    """
    found = space.source or own.model
    if Path(found).is_absolute() and not Path(found).is_dir():
        found = own.model
    return found, None if Path(found).is_absolute() else space.revision


def require_space(space: Space, encoder: Encoder) -> None:
    """Refuse an encoder whose vectors do not belong to a space.

    Raises:
        SpaceMismatchError: says what differs.
    """
    spec = space_spec(encoder)
    if spec != space.spec:
        raise SpaceMismatchError(_difference(space, spec))


def choose_space(engine: Engine, own: ModelSetting, load: Load) -> tuple[Space, Encoder]:
    """The space that a worker writes into first, and its model.

    In an empty catalog it is that of ENRICH_MODEL. Afterwards the catalog's active space decides, so that switching
    needs no restart: ENRICH_MODEL may name the same model elsewhere on this machine, and a model that is not the active
    one is not loaded.

    Raises:
        SpaceMismatchError: the files that the active space was filled with have changed.
        ModelUnavailableError: the active space's model is not available.
    """
    with transaction(engine) as connection:
        known = catalog.spaces.all_spaces(connection)
    active = next((each for each in known if each.state == "active"), None)
    if active is None:
        encoder = load(own.model, own.revision)
        return ensure_space(engine, encoder, own), encoder
    if any(each.source == own.model for each in known) and active.source != own.model:
        return active, _instead(active, own, load)
    encoder = load(own.model, own.revision)
    if space_spec(encoder) == active.spec:
        return ensure_space(engine, encoder, own), encoder
    if active.source in (None, own.model):
        raise SpaceMismatchError(_difference(active, space_spec(encoder)))
    return active, _instead(active, own, load)


def _instead(active: Space, own: ModelSetting, load: Load) -> Encoder:
    _log.warning(
        f"ENRICH_MODEL is {own.model}, but the catalog's active space {active.id} belongs to {active.model}, which is "
        "loaded instead; `enrich space create` and `enrich space activate` change the model",
        action="space",
        space=active.id,
    )
    return load_for(active, own, load)


def _difference(space: Space, found: SpaceSpec) -> str:
    wanted = space.spec
    named = {
        "model": "another model",
        "revision": "the weights, the configuration or the tokenizer have changed",
        "preprocessing": "preprocessing differs: the image processor's file, or this software's decoding, has changed",
        "dimension": "vectors have a different length",
    }
    parts = [
        f"{meaning} ({name} {getattr(found, name)}, the space has {getattr(wanted, name)})"
        for name, meaning in named.items()
        if getattr(found, name) != getattr(wanted, name)
    ]
    return (
        f"space {space.id} was filled with {space.model}, and what is loaded now is not the same: {'; '.join(parts)}. "
        "Nothing is written, because the two cannot be compared. Restore the files that the space was filled with; "
        "or put the new ones elsewhere and run `enrich space create` with their path"
    )
