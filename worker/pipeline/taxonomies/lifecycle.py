"""The use case: apply taxonomies, show their history, and roll back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from worker import catalog, tagging
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Action, Retagging, Revision, VersionImages
from worker.db import Connection, Engine, transaction
from worker.errors import ApplyingError, NotFoundError, TaxonomyError
from worker.pipeline.taxonomies import active_taxonomies
from worker.pipeline.taxonomies.active_taxonomies import ActiveTagger
from worker.pipeline.taxonomies.plan import CatalogState, TaxonomyEdit, edits, in_catalog
from worker.pipeline.taxonomies.retag import Retagger, RetagProgress, RetagResult
from worker.tagging import Tagger, Taxonomy

#: Builds a tagger for the model of a space.
Build = Callable[[Space, Sequence[Taxonomy]], Tagger]


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplyResult:
    """The result of a run."""

    revision: int
    is_new: bool  # False: it was already in force, and this run updated tags
    images: int  # examined
    changed: int  # that gained or lost a label
    others: tuple[int, ...]  # spaces that are being filled, whose tags are older than this revision


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """A revision, compared with the one before it."""

    revision: Revision
    is_current: bool
    edits: tuple[TaxonomyEdit, ...]  # without those that stayed the same
    retaggings: tuple[Retagging, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Revisions, newest first, and the versions that decided the active space's tags."""

    entries: tuple[HistoryEntry, ...]
    images: tuple[VersionImages, ...]


def apply(
    engine: Engine,
    desired: Sequence[Taxonomy],
    build: Build,
    *,
    action: Action = "apply",
    back_to: int | None = None,
    made_by: str | None = None,
    progress: Callable[[RetagProgress], None] = lambda _: None,
) -> ApplyResult:
    """Put taxonomies into force, and update the tags of the active space. May be interrupted and repeated.

    Workers tag by the new ones from the moment that the revision is committed; what they wrote before is retagged.

    Raises:
        ApplyingError: another process is applying taxonomies.
        TaxonomyError: a condition names a taxonomy that is not there.
        OutdatedTaxonomiesError: others were put into force meanwhile.
    """
    tagging.in_order(desired)
    with _alone(engine):
        found = in_catalog(engine)
        if found.space is not None:
            build(found.space, desired)  # errors in them are found before they are in force
        active_taxonomies.keep(engine, desired)
        versions = active_taxonomies.versions(desired)
        is_new = found.revision is None or dict(found.revision.versions) != versions
        revision = _made(engine, versions, action, back_to, made_by) if is_new else found.revision
        assert revision is not None  # noqa: S101  # it is in force or was made
        done = _retag(engine, revision.id, desired, build, progress)
    return ApplyResult(
        revision=revision.id, is_new=is_new, images=done.images, changed=done.changed, others=_others(engine, revision)
    )


def content(engine: Engine, target: str | None) -> tuple[int | None, list[Taxonomy]]:
    """The taxonomies to go back to.

    Args:
        engine: the database.
        target: number of a revision; or NAME@VERSION, for the taxonomies in force with this one as it was; None: the
            revision before the one in force; or, if going back to one was interrupted, that one.

    Returns:
        The revision's number, if it is one, and its taxonomies.

    Raises:
        NotFoundError: there is no such revision or version.
        TaxonomyError: it was stored by a release that knows more than this one.
    """
    with transaction(engine) as connection:
        current = catalog.taxonomy_revisions.current(connection)
        if current is None:
            raise NotFoundError("no taxonomies are in force yet; start a worker or run `enrich taxonomy apply`")
        if target is not None and "@" in target:
            stored = dict(_by_name(catalog.taxonomy_revisions.definitions_of(connection, current.id)))
            name, _, version = target.partition("@")
            stored[name] = _version(catalog.taxonomies.kept(connection, [name]), name, version)
            return None, [tagging.restore(definition, version=own) for own, definition in stored.values()]
        number = _interrupted(connection, current) if target is None else None
        number = number or _number(target, current.id)
        if catalog.taxonomy_revisions.numbered(connection, number) is None:
            raise NotFoundError(f"there is no revision {number}; `enrich taxonomy history` shows all revisions")
        stored_then = catalog.taxonomy_revisions.definitions_of(connection, number)
    return number, [tagging.restore(definition, version=version) for version, definition in stored_then]


def drop(engine: Engine, name: str) -> None:
    """Delete a taxonomy that was never in force, such as a search-only vocabulary, and its label vectors.

    Raises:
        NotFoundError: the catalog has no such taxonomy.
        TaxonomyError: it is, or was, in force, or images are tagged by it.
        ApplyingError: another process is applying taxonomies.
    """
    with _alone(engine), transaction(engine) as connection:
        current = catalog.taxonomy_revisions.current(connection)
        used = catalog.taxonomies.versions_in_use(connection)
        if current is None:
            raise NotFoundError("no taxonomies are in force yet; start a worker or run `enrich taxonomy apply`")
        if name in current.versions:
            raise TaxonomyError(
                f"{name} is in force: take it out of the files of ENRICH_TAXONOMIES, and `enrich taxonomy apply` "
                "withdraws its tags and its labels"
            )
        if not catalog.taxonomies.kept(connection, [name]):
            raise NotFoundError(f"there is no taxonomy {name!r}; labels are stored of {', '.join(used) or 'none'}")
        if name not in used or catalog.taxonomies.has_tags_of(connection, name):
            raise TaxonomyError(
                f"{name} was in force once, or images have tags of it: it is kept for `enrich taxonomy rollback` and "
                "`enrich explain`"
            )
        catalog.taxonomies.drop(connection, name)


def history(engine: Engine, *, limit: int) -> History:
    """The newest revisions with what each changed, and how many images have tags of each version."""
    with transaction(engine) as connection:
        found = catalog.taxonomy_revisions.recent(connection, limit=limit + 1)
        definitions = {
            each.id: dict(_by_name(catalog.taxonomy_revisions.definitions_of(connection, each.id))) for each in found
        }
        retaggings = catalog.taxonomy_revisions.retaggings(connection)
        space = catalog.spaces.active(connection)
        images = catalog.taxonomy_revisions.images_per_version(connection, space.id) if space else []
    entries = []
    for place, each in enumerate(found[:limit]):
        before = found[place + 1] if place + 1 < len(found) else None
        entries.append(
            HistoryEntry(
                revision=each,
                is_current=place == 0,
                edits=tuple(_edits(before, definitions, definitions[each.id])),
                retaggings=tuple(one for one in retaggings if one.revision == each.id),
            )
        )
    return History(entries=tuple(entries), images=tuple(images))


def _edits(
    before: Revision | None,
    definitions: Mapping[int, Mapping[str, tuple[str, Mapping[str, Any]]]],
    after: Mapping[str, tuple[str, Mapping[str, Any]]],
) -> Iterator[TaxonomyEdit]:
    old = definitions[before.id] if before else {}
    for name in sorted(old.keys() | after.keys()):
        (version, was), (new_version, is_now) = old.get(name, (None, {})), after.get(name, (None, {}))
        if version != new_version:
            kind = "added" if version is None else "removed" if new_version is None else "changed"
            lines = tuple(tagging.edits(was, is_now)) if version and new_version else ()
            yield TaxonomyEdit(name=name, edit=kind, before=version, after=new_version, edits=lines)  # type: ignore[arg-type]


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold the lock for applying taxonomies until the block ends or this process does."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        other = catalog.taxonomy_revisions.try_applying(connection)
        if other is not None:
            raise ApplyingError(
                f"taxonomies are being applied already, since {other.since:%H:%M:%S} UTC, from "
                f"{other.host or 'the machine of the database'} (database session {other.pid}): wait until that has "
                "ended, or stop it; `enrich taxonomy history` shows how far it is. Nothing was changed"
            )
        try:
            yield
        finally:
            connection.invalidate()  # the lock ends with its session


def _made(
    engine: Engine, versions: Mapping[str, str], action: Action, back_to: int | None, made_by: str | None
) -> Revision:
    def try_to() -> Revision:
        with transaction(engine) as connection:
            return catalog.taxonomy_revisions.make(
                connection,
                versions,
                action=action,
                made_by=made_by or active_taxonomies.current_user(),
                back_to=back_to,
            )

    return active_taxonomies.retry_while_locked(try_to)


def _retag(
    engine: Engine, revision: int, desired: Sequence[Taxonomy], build: Build, progress: Callable[[RetagProgress], None]
) -> RetagResult:
    """Retag until the space that is active at the end is done: another one may be activated meanwhile."""
    images = written = changed = 0
    while not (found := in_catalog(engine)).is_finished:
        assert found.space is not None  # noqa: S101  # otherwise it is finished
        in_force = ActiveTagger(revision=revision, tagger=build(found.space, desired))
        done = Retagger(engine, found.space, in_force, progress=progress).run()
        images, written, changed = images + done.images, written + done.written, changed + done.changed
    return RetagResult(images=images, written=written, changed=changed)


def _others(engine: Engine, revision: Revision) -> tuple[int, ...]:
    with transaction(engine) as connection:
        filling = [each.id for each in catalog.spaces.all_spaces(connection) if each.state == "filling"]
        done = {each: catalog.taxonomy_revisions.retagging(connection, each, revision.id) for each in filling}
    return tuple(each for each, state in done.items() if state is None or state.finished_at is None)


def _by_name(
    stored: Sequence[tuple[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    return ((definition["name"], (version, definition)) for version, definition in stored)


def _version(kept: Sequence[catalog.taxonomies.KeptTaxonomy], name: str, version: str) -> tuple[str, Mapping[str, Any]]:
    found = [each for each in kept if version and each.version.startswith(version)]
    if len(found) != 1:
        known = ", ".join(each.version for each in kept)
        if not known:
            raise NotFoundError(f"no taxonomy {name!r} was ever in force; `enrich taxonomy list` shows those that were")
        which = (
            f"{len(found)} versions of {name!r} begin with {version!r}" if version else "a version is missing after @"
        )
        raise NotFoundError(f"{which}; kept are: {known}")
    return found[0].version, found[0].definition


def _interrupted(connection: Connection, current: Revision) -> int | None:
    """The target of an unfinished rollback: repeating the command continues it instead of undoing it."""
    space = catalog.spaces.active(connection)
    if space is None or current.back_to is None:
        return None
    run = catalog.taxonomy_revisions.retagging(connection, space.id, current.id)
    return current.back_to if run is None or run.finished_at is None else None


def _number(target: str | None, current: int) -> int:
    if target is None:
        if current == 1:
            raise NotFoundError("revision 1 is in force; there is none before it")
        return current - 1
    if not (target.isascii() and target.isdigit()):
        raise NotFoundError(
            f"{target!r} is neither the number of a revision nor NAME@VERSION; see `enrich taxonomy history`"
        )
    return int(target)


__all__ = [
    "ApplyResult",
    "Build",
    "CatalogState",
    "History",
    "HistoryEntry",
    "apply",
    "content",
    "drop",
    "edits",
    "history",
]
