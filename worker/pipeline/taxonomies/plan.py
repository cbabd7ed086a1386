"""The use case: preview what a change of taxonomies would do, without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias

from worker import catalog, tagging
from worker.catalog.image_names import NamedImage
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.common.estimates import Estimate, Sampling
from worker.pipeline.taxonomies.abstention_summary import AbstentionSummary, summary
from worker.pipeline.taxonomies.catalog_state import CatalogState, in_catalog
from worker.pipeline.taxonomies.changes import Change, Desired
from worker.pipeline.taxonomies.retag import RetagProgress, TagComparer
from worker.tagging import Example, HumanDecisions, Kind, Move, MoveCounts, Tagger, Taxonomy

#: Images examined by default; a catalog of up to this many is examined in full.
SAMPLE = 20_000

#: How a taxonomy changes. words: only display texts differ, and tags stay as they are.
#: moved: another set owns it.
Edit: TypeAlias = Literal["same", "added", "changed", "removed", "words", "moved"]

#: Edits that change no tag.
_NO_TAG: tuple[Edit, ...] = ("same", "words", "moved")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyEdit:
    """A taxonomy in the desired set compared with the one in force."""

    name: str
    edit: Edit
    before: str | None  # version
    after: str | None
    edits: tuple[str, ...]  # for people, one line for each place
    set_before: str | None  # the set that owned it
    set_after: str | None
    calibrated: bool | None = None  # afterwards, for the active model; None: there is none, or no taxonomy
    unknown: tuple[str, ...] = ()  # labels that this model practically never recognises, says the file
    unproven: tuple[str, ...] = ()  # labels that are only suggested, until reviews prove the precision asked for
    unlearned: tuple[str, ...] = ()  # labels without prompts that no head knows yet


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTaxonomy:
    """A taxonomy that stays in force although the files do not name it."""

    name: str
    version: str
    set: str  # that owns it
    is_own: bool  # whether that is the set of the files: then it can be removed
    made_by: str  # who applied this version
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedImage:
    """An image that would change."""

    ref: str  # BUCKET/KEY
    bucket: str
    key: str
    sha256: str  # of the bytes that the catalog describes
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedChange:
    """One kind of change of images in a taxonomy."""

    kind: Kind
    before: str | None  # label
    after: str | None
    images: Estimate
    samples: tuple[ChangedImage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelChange:
    """A label before and after: ``before = unchanged + removed + abstained + flipped_away``, ``after = unchanged +
    added + flipped_here``.
    """

    label: str
    before: Estimate
    after: Estimate
    suggested: Estimate  # images for which it is only suggested afterwards; not counted otherwise
    unchanged: Estimate
    added: Estimate
    removed: Estimate
    abstained: Estimate
    flipped_away: Estimate
    flipped_here: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyPlan:
    """How the tags of one taxonomy change."""

    edit: TaxonomyEdit
    abstentions_before: Estimate
    abstentions_after: Estimate
    labels: tuple[LabelChange, ...]
    changes: tuple[PlannedChange, ...]  # most images first
    hidden: Estimate  # images that would gain or lose a label if no person had decided; not counted above
    abstentions: (
        AbstentionSummary | None
    )  # after the change, and why; None: no image was examined, or it decides nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A whole plan."""

    revision: int | None  # in force
    space: int | None
    model: str | None
    unfinished: bool  # the revision in force has not reached all images yet
    sampling: Sampling
    changed: Estimate  # images that gain or lose a label for readers
    hidden: Estimate  # images where only hidden labels change, because of a person's decision
    touched: Estimate  # images with anything to write, if only a version or a probability
    taxonomies: tuple[TaxonomyPlan, ...]
    kept: tuple[KeptTaxonomy, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether applying would do nothing."""
        edited = any(each.edit.edit != "same" for each in self.taxonomies)
        return not (edited or self.unfinished or self.touched.seen)


def edits(found: CatalogState, desired: Desired) -> list[TaxonomyEdit]:
    """Taxonomy by taxonomy, by name."""
    after = {each.name: each for each in desired.taxonomies}
    return [
        _edit(name, found, after.get(name), desired.sets.get(name)) for name in sorted(found.versions.keys() | after)
    ]


def plan(
    engine: Engine,
    change: Change,
    build: Callable[[Space, Sequence[Taxonomy]], Tagger],
    *,
    sample: int | None = SAMPLE,
    progress: Callable[[RetagProgress], None] = lambda _: None,
) -> Plan:
    """Compare.

    Args:
        engine: the database.
        change: what to change about the taxonomies in force.
        build: gives a tagger for the model of a space.
        sample: how many images to look at; None: all.
        progress: told after each block.

    Raises:
        NotFoundError, TaxonomyError: the change cannot be made.
    """
    found = in_catalog(engine)
    desired = change(found)
    edited = edits(found, desired)
    # Nothing to find: everything was examined when it was applied. All images are examined on request.
    is_settled = sample is not None and found.is_finished and all(each.edit in _NO_TAG for each in edited)
    kept = tuple(_kept(name, found, desired.own) for name in sorted(desired.kept))
    if found.space is None or is_settled:
        return replace(_report(engine, found, edited, None, Sampling(images=0, total=0, exact=True)), kept=kept)
    comparer = TagComparer(engine, found.space, build(found.space, desired.taxonomies))
    counts, sampling = _compare(engine, found.space, comparer, sample, progress)
    return replace(_report(engine, found, edited, counts, sampling), kept=kept)


def _edit(name: str, found: CatalogState, after: Taxonomy | None, set_after: str | None) -> TaxonomyEdit:
    before, set_before = found.versions.get(name), found.sets.get(name)
    space = found.space.id if found.space else None
    own = tagging.definition(after) if after else {}
    lines = tuple(tagging.edits(found.definitions.get(name, {}), own)) if before and after else ()
    return TaxonomyEdit(
        name=name,
        edit=_kind(before, after, lines, moved=set_before != set_after),
        before=before,
        after=after.version if after else None,
        edits=lines,
        set_before=set_before,
        set_after=set_after,
        calibrated=after.is_calibrated_for(found.space.model) if after and after.decides and found.space else None,
        unknown=after.unknown.get(found.space.model, ()) if after and found.space else (),
        unproven=_in_order(after, after.suggested(space) - after.unlearned(space)) if after else (),
        unlearned=_in_order(after, after.unlearned(space)) if after and after.decides else (),
    )


def _in_order(taxonomy: Taxonomy, labels: Container[str]) -> tuple[str, ...]:
    """As the file has them."""
    return tuple(label.name for label, _ in taxonomy.walk() if label.name in labels)


def _kind(before: str | None, after: Taxonomy | None, lines: Sequence[str], *, moved: bool) -> Edit:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    if before != after.version:
        return "changed"
    return "words" if lines else "moved" if moved else "same"


def _kept(name: str, found: CatalogState, own: str | None) -> KeptTaxonomy:
    origin, owner = found.origins[name], found.sets[name]
    return KeptTaxonomy(
        name=name,
        version=origin.version,
        set=owner,
        is_own=owner == own,
        made_by=origin.made_by,
        since=origin.since,
    )


def _compare(
    engine: Engine, space: Space, comparer: TagComparer, sample: int | None, progress: Callable[[RetagProgress], None]
) -> tuple[MoveCounts, Sampling]:
    with transaction(engine) as connection:
        total, exact = catalog.bulk_read.count_vectors(connection, space.id)
        chosen = (
            catalog.bulk_read.uniform_sample(connection, space.id, size=sample)
            if sample is not None and sample < total
            else None
        )
    wanted = total if chosen is None else len(chosen)
    counts = MoveCounts(comparer.vocabulary)
    for each in comparer.everything() if chosen is None else comparer.by_id(chosen):
        decided = HumanDecisions(
            images=each.block.decided.images, answers=each.block.decided.answers, whole=each.block.decided.whole
        )
        counts.add(each.found, each.block.images, decided)
        comparer.count_abstentions(each, counts.abstentions)
        progress(RetagProgress(done=counts.images, total=max(wanted, counts.images)))
    if chosen is None:
        total, exact = counts.images, True
    return counts, Sampling(images=counts.images, total=total, exact=exact)


# -- reporting ---------------------------------------------------------------------------------------------------------
def _report(
    engine: Engine,
    found: CatalogState,
    edited: Sequence[TaxonomyEdit],
    counts: MoveCounts | None,
    sampling: Sampling,
) -> Plan:
    names = _names(engine, counts.examples.values() if counts else ())
    return Plan(
        revision=found.revision.id if found.revision else None,
        space=found.space.id if found.space else None,
        model=found.space.model if found.space else None,
        unfinished=not found.is_finished,
        sampling=sampling,
        changed=sampling.count(counts.changed if counts else 0),
        hidden=sampling.count(counts.unseen if counts else 0),
        touched=sampling.count(counts.touched if counts else 0),
        taxonomies=tuple(_taxonomy(each, counts, sampling, names) for each in _all_of(edited, counts)),
    )


def _all_of(edited: Sequence[TaxonomyEdit], counts: MoveCounts | None) -> list[TaxonomyEdit]:
    """The edits and, as removed, taxonomies in neither set of which tags were found."""
    met = {counts.vocabulary.answers[answer][0] for answer in counts.before} | set(counts.hidden) if counts else set()
    strangers = sorted(met - {each.name for each in edited})
    return [*edited, *(_stranger(name) for name in strangers)]


def _stranger(name: str) -> TaxonomyEdit:
    return TaxonomyEdit(name=name, edit="removed", before=None, after=None, edits=(), set_before=None, set_after=None)


def _names(engine: Engine, examples: Iterable[Sequence[Example]]) -> dict[int, NamedImage]:
    images = {each.image for some in examples for each in some}
    with transaction(engine) as connection:
        return catalog.image_names.by_id(connection, images)


def _taxonomy(
    edit: TaxonomyEdit, counts: MoveCounts | None, sampling: Sampling, names: Mapping[int, NamedImage]
) -> TaxonomyPlan:
    if counts is None:
        nothing = sampling.count(0)
        return TaxonomyPlan(
            edit=edit,
            abstentions_before=nothing,
            abstentions_after=nothing,
            labels=(),
            changes=(),
            hidden=nothing,
            abstentions=None,
        )
    answers = counts.vocabulary.answers
    ours = [number for number, (taxonomy, _) in enumerate(answers) if taxonomy == edit.name]
    none = next((number for number in ours if answers[number][1] is None), -1)
    moves = {move: count for move, count in counts.moves.items() if {move.before, move.after} & set(ours)}
    labels = sorted((number for number in ours if number != none), key=lambda number: str(answers[number][1]))
    return TaxonomyPlan(
        edit=edit,
        abstentions_before=sampling.count(counts.before[none]),
        abstentions_after=sampling.count(counts.after[none]),
        labels=tuple(_label(number, counts, moves, sampling) for number in labels),
        changes=tuple(
            _change(move, count, counts, sampling, names)
            for move, count in sorted(moves.items(), key=lambda item: (-item[1], str(item[0])))
        ),
        hidden=sampling.count(counts.hidden[edit.name]),
        abstentions=summary(counts.abstentions, edit.name, sampling) if edit.name in counts.abstentions.asked else None,
    )


def _label(number: int, counts: MoveCounts, moves: Mapping[Move, int], sampling: Sampling) -> LabelChange:
    away: Counter[str] = Counter()
    here: Counter[str] = Counter()
    for move, count in moves.items():
        if move.before == number:
            away[move.kind] += count
        if move.after == number:
            here[move.kind] += count
    return LabelChange(
        label=str(counts.vocabulary.answers[number][1]),
        before=sampling.count(counts.before[number]),
        after=sampling.count(counts.after[number]),
        suggested=sampling.count(counts.suggested[number]),
        unchanged=sampling.count(counts.before[number] - away.total()),
        added=sampling.count(here["added"]),
        removed=sampling.count(away["removed"]),
        abstained=sampling.count(away["abstained"]),
        flipped_away=sampling.count(away["flipped"]),
        flipped_here=sampling.count(here["flipped"]),
    )


def _change(
    move: Move, count: int, counts: MoveCounts, sampling: Sampling, names: Mapping[int, NamedImage]
) -> PlannedChange:
    answers = counts.vocabulary.answers
    return PlannedChange(
        kind=move.kind,
        before=None if move.before is None else answers[move.before][1],
        after=None if move.after is None else answers[move.after][1],
        images=sampling.count(count),
        samples=tuple(
            _changed(names[each.image], each.probability) for each in counts.examples[move] if each.image in names
        ),
    )


def _changed(image: NamedImage, probability: float) -> ChangedImage:
    ref = image.ref
    return ChangedImage(ref=str(ref), bucket=ref.bucket, key=ref.key, sha256=image.sha256, probability=probability)


__all__ = [
    "SAMPLE",
    "ChangedImage",
    "KeptTaxonomy",
    "LabelChange",
    "Plan",
    "PlannedChange",
    "TaxonomyEdit",
    "TaxonomyPlan",
    "edits",
    "plan",
]
