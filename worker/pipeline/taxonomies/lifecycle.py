"""The use case: apply taxonomies, show their history, and roll back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from worker import catalog, tagging
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Action, Retagging, Revision, VersionImages
from worker.db import Connection, Engine, transaction
from worker.errors import ApplyingError, NotFoundError, TaxonomyError
from worker.pipeline.taxonomies import active_taxonomies, changes
from worker.pipeline.taxonomies.abstention_summary import AbstentionSummary, summary
from worker.pipeline.taxonomies.active_taxonomies import ActiveTagger
from worker.pipeline.taxonomies.catalog_state import in_catalog
from worker.pipeline.taxonomies.changes import Change, Desired
from worker.pipeline.taxonomies.plan import TaxonomyEdit
from worker.pipeline.taxonomies.retag import Retagger, RetagProgress, RetagResult
from worker.tagging import AbstentionCounts, Tagger, Taxonomy

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
    abstentions: Mapping[str, AbstentionSummary]  # of taxonomies that changed, among the images examined
    moved: Mapping[str, str]  # taxonomies that belonged to another set before → their set


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
    change: Change,
    build: Build,
    *,
    action: Action = "apply",
    back_to: int | None = None,
    planned: int | None = None,
    made_by: str | None = None,
    in_force: Callable[[Revision], None] = lambda _: None,
    progress: Callable[[RetagProgress], None] = lambda _: None,
) -> ApplyResult:
    """Change the taxonomies in force, and update the tags of the active space. May be interrupted and repeated.

    Workers tag by the new ones from the moment that the revision is committed; what they wrote before is retagged.

    Args:
        engine: the database.
        change: made from what is in force once this process alone may change it.
        build: gives a tagger for the model of a space.
        action: what the history says.
        back_to: with a rollback, the revision that comes back.
        planned: the revision that a person saw compared, 0 if none was in force; None: any may be in force.
        made_by: user@host; None: the user of this process.
        in_force: told before the first image is looked at.
        progress: told after each block.

    Raises:
        ApplyingError: another process is applying taxonomies, or has since the change was planned.
        NotFoundError, TaxonomyError: the change cannot be made.
        OutdatedTaxonomiesError: others were put into force meanwhile.
    """
    with _alone(engine):
        found = in_catalog(engine)
        _refuse_outdated(found.revision, planned)
        desired = change(found)
        if found.space is not None:
            build(found.space, desired.taxonomies)  # errors in them are found before they are in force
        active_taxonomies.keep(engine, desired.taxonomies)
        is_new = found.revision is None or found.versions != active_taxonomies.versions(desired.taxonomies)
        revision = _made(engine, desired, action, back_to, made_by) if is_new else found.revision
        assert revision is not None  # noqa: S101  # it is in force or was made
        if found.sets != desired.sets and not is_new:
            _hand_over(engine, revision, desired.sets)
        in_force(revision)
        done = _retag(engine, revision.id, desired.taxonomies, build, progress)
    return ApplyResult(
        revision=revision.id,
        is_new=is_new,
        images=done.images,
        changed=done.changed,
        others=_others(engine, revision),
        abstentions=_abstentions(done, found.revision if is_new else found.before, desired),
        moved={name: own for name, own in sorted(desired.sets.items()) if found.sets.get(name, own) != own},
    )


def content(engine: Engine, target: str | None) -> tuple[int | None, Change]:
    """The change that goes back.

    Args:
        engine: the database.
        target: number of a revision; or NAME@VERSION, for the taxonomies in force with this one as it was; None: the
            revision before the one in force; or, if going back to one was interrupted, that one.

    Returns:
        The revision's number, if it is one, and the change.

    Raises:
        NotFoundError: there is no such revision or version.
        TaxonomyError: it was stored by a release that knows more than this one.
    """
    with transaction(engine) as connection:
        current = catalog.taxonomy_revisions.current(connection)
        if current is None:
            raise NotFoundError("no taxonomies are in force yet; start a worker or run `enrich taxonomy apply`")
        if target is not None and "@" in target:
            name, _, version = target.partition("@")
            own, definition = _version(catalog.taxonomies.kept(connection, [name]), name, version)
            return None, changes.one_replaced(tagging.restore(definition, version=own))
        number = _interrupted(connection, current) if target is None else None
        number = number or _number(target, current.id)
        then = catalog.taxonomy_revisions.numbered(connection, number)
        if then is None:
            raise NotFoundError(f"there is no revision {number}; `enrich taxonomy history` shows all revisions")
        stored = catalog.taxonomy_revisions.definitions_of(connection, number)
    taxonomies = [tagging.restore(definition, version=version) for version, definition in stored]
    return number, changes.exactly(taxonomies, {name: then.set_of(name) for name in then.versions})


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
                f"{name} is in force: `enrich taxonomy remove {name}` withdraws its tags and its labels"
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
                edits=tuple(_edits(before, definitions, each)),
                retaggings=tuple(one for one in retaggings if one.revision == each.id),
            )
        )
    return History(entries=tuple(entries), images=tuple(images))


def _edits(
    before: Revision | None,
    definitions: Mapping[int, Mapping[str, tuple[str, Mapping[str, Any]]]],
    now: Revision,
) -> Iterator[TaxonomyEdit]:
    old, new = definitions[before.id] if before else {}, definitions[now.id]
    for name in sorted(old.keys() | new.keys()):
        (version, was), (new_version, is_now) = old.get(name, (None, {})), new.get(name, (None, {}))
        if version != new_version:
            kind = "added" if version is None else "removed" if new_version is None else "changed"
            yield TaxonomyEdit(
                name=name,
                edit=kind,  # type: ignore[arg-type]
                before=version,
                after=new_version,
                edits=tuple(tagging.edits(was, is_now)) if version and new_version else (),
                set_before=before.set_of(name) if before and version else None,
                set_after=now.set_of(name) if new_version else None,
            )


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
            with suppress(Exception):  # where the connection is lost, so is the lock
                catalog.taxonomy_revisions.end_applying(connection)
            connection.invalidate()


def _refuse_outdated(current: Revision | None, planned: int | None) -> None:
    if current is not None and planned is not None and planned != current.id:
        raise ApplyingError(
            f"revision {current.id} was put into force since the plan was made, by {current.made_by}: run the command "
            "again to see what it would change now. Nothing was changed"
        )


def _hand_over(engine: Engine, revision: Revision, sets: Mapping[str, str]) -> None:
    with transaction(engine) as connection:
        catalog.taxonomy_revisions.hand_over(connection, revision.id, sets)


def _made(engine: Engine, desired: Desired, action: Action, back_to: int | None, made_by: str | None) -> Revision:
    def try_to() -> Revision:
        with transaction(engine) as connection:
            return catalog.taxonomy_revisions.make(
                connection,
                active_taxonomies.versions(desired.taxonomies),
                sets=desired.sets,
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
    abstentions = AbstentionCounts()
    while not (found := in_catalog(engine)).is_finished:
        assert found.space is not None  # noqa: S101  # otherwise it is finished
        in_force = ActiveTagger(revision=revision, tagger=build(found.space, desired))
        done = Retagger(engine, found.space, in_force, progress=progress).run()
        images, written, changed = images + done.images, written + done.written, changed + done.changed
        abstentions = done.abstentions
    return RetagResult(images=images, written=written, changed=changed, abstentions=abstentions)


def _abstentions(done: RetagResult, before: Revision | None, desired: Desired) -> dict[str, AbstentionSummary]:
    """Of the taxonomies that are not in force as they were."""
    old = before.versions if before else {}
    new = [each.name for each in desired.taxonomies if each.decides and old.get(each.name) != each.version]
    return {name: summary(done.abstentions, name) for name in sorted(new)} if done.images else {}


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
