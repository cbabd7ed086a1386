"""The use case: create, activate, retire and drop spaces."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from worker import catalog
from worker.catalog.embedding_queue import EmbeddingFailure
from worker.catalog.spaces import FilledSpace, Space
from worker.db import Connection, Engine, transaction
from worker.errors import ConfigurationError, NotFoundError
from worker.pipeline.spaces import fill, golden_check
from worker.pipeline.spaces.fill import FillProgress
from worker.pipeline.spaces.model_loading import Load, ModelSetting, ensure_space

#: Seconds to wait for current uploads before a space is called incomplete; extended each time that they get fewer.
_PATIENCE = 3.0
#: More than workers could have claimed.
_MANY = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivationResult:
    """The result of an activation."""

    before: int | None  # the previously active space, if it was another one
    failed: int  # images without a vector in the new one, because its model cannot embed them
    unlearned: tuple[str, ...] = ()  # taxonomies with a head in the space before, and none in the new one


def filled(engine: Engine) -> list[FilledSpace]:
    """All spaces, with how far each is filled."""
    with transaction(engine) as connection:
        return catalog.spaces.fill_levels(connection)


def get(engine: Engine, number: int) -> Space:
    """A space by its number.

    Raises:
        NotFoundError: there is none, or it was dropped.
    """
    with transaction(engine) as connection:
        found = catalog.spaces.space(connection, number)
    if found is None:
        raise NotFoundError(f"there is no space {number}; `enrich space list` shows all spaces")
    return found


def failures(engine: Engine, number: int, *, limit: int) -> list[EmbeddingFailure]:
    """Images that a space's model could not embed."""
    with transaction(engine) as connection:
        return catalog.embedding_queue.failures(connection, number, limit=limit)


def create(engine: Engine, source: ModelSetting, load: Load) -> Space:
    """Load a model and create its space with golden vectors; does nothing if it has one already.

    Raises:
        ModelUnavailableError, ModelUnsupportedError, ConfigurationError: the model cannot be loaded.
        SpaceMismatchError: it has a space, and makes other vectors now.
    """
    encoder = load(source.model, source.revision)
    space = ensure_space(engine, encoder, source)
    golden_check.require(engine, space, encoder)
    return space


def activate(
    engine: Engine, number: int, *, force: bool, progress: Callable[[FillProgress], None] = lambda _: None
) -> ActivationResult:
    """Activate a space in one transaction: readers see either the old one or the new one.

    Its index is built first, if it has none. The space that was active goes on being filled.

    Raises:
        NotFoundError: there is no such space.
        ConfigurationError: images are missing in it, and ``force`` was not given.
    """
    get(engine, number)
    if not force:
        _require_full(engine, number)
        with transaction(engine) as connection:
            _require_tagged(connection, number)
    space = get(engine, number)
    with fill.refusing_if_dropped(engine, number):
        fill.index(engine, space, progress)
    with transaction(engine) as connection:
        if not force:
            _require_tagged(connection, number)  # again: an index takes hours, in which others may be put into force
        before = catalog.spaces.active(connection)
        if not catalog.spaces.activate(connection, number):
            raise NotFoundError(f"space {number} was dropped meanwhile; the active one is as before")
        failed = catalog.embedding_queue.queue_length(connection, number).failed
        unlearned = _unlearned(connection, before, number)
    old = before.id if before is not None and before.id != number else None
    return ActivationResult(before=old, failed=failed, unlearned=unlearned)


def unlearned(engine: Engine, number: int) -> tuple[str, ...]:
    """Taxonomies in force that have a head in the active space, and none in this one: there they are zero-shot."""
    with transaction(engine) as connection:
        return _unlearned(connection, catalog.spaces.active(connection), number)


def _unlearned(connection: Connection, old: Space | None, number: int) -> tuple[str, ...]:
    current = catalog.taxonomy_revisions.current(connection)
    if old is None or old.id == number or current is None:
        return ()
    stored = catalog.taxonomy_revisions.definitions_of(connection, current.id)
    learned = {definition["name"]: definition.get("learned") or {} for _, definition in stored}
    return tuple(
        name
        for name, by_space in sorted(learned.items())
        if by_space.get(str(old.id), {}).get("head") and not by_space.get(str(number), {}).get("head")
    )


def _require_full(engine: Engine, number: int) -> None:
    with transaction(engine) as connection:
        now = catalog.embedding_queue.now(connection)
        missing = catalog.spaces.missing_in(connection, number, before=now)
    deadline = time.monotonic() + _PATIENCE
    while 0 < missing < _MANY and time.monotonic() < deadline:
        time.sleep(0.2)
        with transaction(engine) as connection:
            fewer = catalog.spaces.missing_in(connection, number, before=now)
        if fewer < missing:
            missing, deadline = fewer, time.monotonic() + _PATIENCE
    if missing:
        raise ConfigurationError(
            f"{missing:,} images have no vector in space {number} yet and would lose their tags until they do: "
            f"run `enrich space fill {number}`, or pass --force"
        )


def _require_tagged(connection: Connection, number: int) -> None:
    """Require that the space is tagged by the taxonomies in force, which stay so until the transaction ends."""
    current = catalog.taxonomy_revisions.current(connection)
    if current is None:
        return
    catalog.taxonomy_revisions.hold(connection, current.id)
    catalog.taxonomy_revisions.note_empty(connection, number, current.id)
    state = catalog.taxonomy_revisions.retagging(connection, number, current.id)
    if state is None or state.finished_at is None:
        raise ConfigurationError(
            f"the tags of space {number} are older than revision {current.id} of the taxonomies, which is in force: "
            f"run `enrich space fill {number}`, or pass --force"
        )


def retire(engine: Engine, number: int) -> None:
    """Stop embedding new images in a space; its vectors and tags are kept.

    Raises:
        NotFoundError: there is no such space.
        ConfigurationError: it is the active one.
    """
    get(engine, number)
    with transaction(engine) as connection:
        if not catalog.spaces.retire(connection, number):
            raise ConfigurationError(_is_active(number, "retired"))


def size(engine: Engine, number: int) -> int:
    """Bytes on disk that dropping a space would free, tags not counted.

    Raises:
        NotFoundError: there is no such space.
        ConfigurationError: it is the active one.
    """
    with transaction(engine) as connection:
        if not catalog.spaces.was_dropped(connection, number) and get(engine, number).state == "active":
            raise ConfigurationError(_is_active(number, "dropped"))
        return catalog.partitions.partition_bytes(connection, number)


def drop(
    engine: Engine,
    number: int,
    *,
    deleted: Callable[[int], None] = lambda _: None,
    waiting: Callable[[str], None] = lambda _: None,
) -> None:
    """Delete a space: its vectors, indexes, tags and text vectors. May be interrupted and repeated.

    Args:
        engine: the database.
        number: of the space.
        deleted: told how many tags each transaction deleted.
        waiting: told what the end waits for.

    Raises:
        NotFoundError: there is no such space.
        ConfigurationError: it is the active one.
    """
    with transaction(engine) as connection:
        again = catalog.spaces.was_dropped(connection, number)
    if not again:
        get(engine, number)
        with transaction(engine) as connection:
            if not catalog.spaces.mark_dropped(connection, number):
                raise ConfigurationError(_is_active(number, "dropped"))
    for count in catalog.partitions.drop_tags(engine, number):
        deleted(count)
    with transaction(engine) as connection:
        catalog.texts.forget(connection, number)
    catalog.label_vectors.drop_label_index(engine, number)
    catalog.partitions.drop_partition(engine, number, waiting=waiting)


def _is_active(number: int, done: str) -> str:
    return f"space {number} is the active one and cannot be {done}: activate another space first"
