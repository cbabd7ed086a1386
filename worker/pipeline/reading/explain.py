"""The use case: explain an image's tags from its stored vector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Literal, TypeAlias

import numpy as np

from worker import catalog, tagging
from worker.catalog.decisions import DecidedTag
from worker.catalog.read import ImageRecord, TagRecord
from worker.catalog.spaces import Space
from worker.catalog.taxonomies import KeptTaxonomy
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.errors import TaxonomyError
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.reading import image_lookup
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.tagging import Tagger, Taxonomy, TaxonomyExplanation
from worker.types import Floats, ObjectRef

#: What the catalog has of a taxonomy, beside what the explanation says:
#: ``current``: just that, by the newest version; ``older-version``: just that, but a newer version is in use;
#: ``differs``: something else, which another version decided or another vector; ``nothing``: none, though there is an
#: answer. Of a taxonomy that does not apply, none is what is expected.
Standing: TypeAlias = Literal["current", "older-version", "differs", "nothing"]

_NONE = "no taxonomy decides about images: there is nothing to explain"

#: Vectors of texts that are kept between explanations: a few taxonomies, or a few megabytes.
_MOST_TEXTS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NewerVersionResult:
    """What a newer version of a taxonomy would say."""

    version: str
    labels: tuple[str, ...]  # none: "none of these"
    applies: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedTaxonomy:
    """What one taxonomy compared, and the tags it has in the catalog."""

    numbers: TaxonomyExplanation  # by the version that decided the stored tags, if there are any
    standing: Standing
    written: tuple[TagRecord, ...]  # the stored tags of this space, with their provenance
    human: tuple[TagRecord, ...]  # what people accepted
    rejected: tuple[DecidedTag, ...]  # what people rejected
    newer: NewerVersionResult | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageExplanation:
    """An image's tags, explained."""

    record: ImageRecord
    space: Space
    taxonomies: tuple[ExplainedTaxonomy, ...]
    notes: tuple[str, ...]  # what could not be explained as it was decided

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """Taxonomies that are not calibrated for this model."""
        return tuple(each.numbers.taxonomy for each in self.taxonomies if not each.numbers.calibrated)


class _TextVectors:
    """Text vectors, cached between calls. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[int, str], Floats] = {}

    def of(self, space: Space, encoder: Encoder, texts: Sequence[str]) -> Floats:
        """``[n, d]``, one unit vector for each text."""
        known = self._known  # a reference that other threads do not change
        missing = [each for each in dict.fromkeys(texts) if (space.id, each) not in known]
        new = self._load(space, encoder, missing) if missing else {}
        vectors = [new[each] if each in new else known[space.id, each] for each in texts]
        if new:
            kept = known if len(known) + len(new) <= _MOST_TEXTS else {}
            self._known = kept | {(space.id, text): vector for text, vector in new.items()}
        return np.stack(vectors)

    def _load(self, space: Space, encoder: Encoder, texts: Sequence[str]) -> dict[str, Floats]:
        """Prefer vectors from the catalog, which decided: this machine's may differ in the last bits."""
        with transaction(self._engine) as connection:
            stored = catalog.texts.known(connection, space.id, texts)
        rest = [each for each in texts if each not in stored]
        return stored | (dict(zip(rest, encoder.encode_texts(rest), strict=True)) if rest else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class _ImageScorer:
    """One image's vector and its model."""

    vector: Floats
    space: Space
    encoder: Encoder
    texts: _TextVectors

    def explain(self, taxonomies: Sequence[Taxonomy]) -> tuple[TaxonomyExplanation, ...]:
        encode_texts = partial(self.texts.of, self.space, self.encoder)
        scale, model = self.encoder.logit_scale, self.encoder.space.model
        tagger = Tagger(taxonomies, encode_texts, logit_scale=scale, model=model, space=self.space.id)
        return tagging.explain(tagger, self.vector, encode_texts)


class Explainer:
    """Explains images from the vectors and the taxonomy versions in the catalog; asks neither object store nor image
    encoder. Threads may share one: vectors of prompts are kept between calls.
    """

    def __init__(self, engine: Engine, model: Callable[[], tuple[Space, Encoder]]) -> None:
        """Load nothing yet.

        Args:
            engine: the database.
            model: gives the space that answers, and the text half of its model at least.
        """
        self._engine, self._model = engine, model
        self._texts = _TextVectors(engine)

    def __call__(
        self, ref: ObjectRef, taxonomies: Sequence[Taxonomy] | None = None, *, only: Sequence[str] = ()
    ) -> ImageExplanation:
        """Explain one image.

        Args:
            ref: which one.
            only: leave out all taxonomies but these; none: leave out none.
            taxonomies: explain by these, as if they were in use. None: by those in the catalog, each in the version
                that decided the stored tags, or else in the one in force.

        Raises:
            ImageNotFoundError: the catalog does not have the image; the message says what is known of it.
            UnknownNameError: the catalog has never heard of one of ``only``.
            NothingEmbeddedError: it has no vector of the model that answers.
        """
        record = image_lookup.image(self._engine, ref)
        with transaction(self._engine) as connection:
            require_taxonomies(connection, only)
        scorer, kept = self._read(ref, record)
        explained = _by_kept(scorer, record, kept) if taxonomies is None else _by_given(scorer, record, taxonomies)
        return _limited(explained, only) if only else explained

    def _read(self, ref: ObjectRef, record: ImageRecord) -> tuple[_ImageScorer, list[KeptTaxonomy]]:
        space, encoder = self._model()
        with transaction(self._engine) as connection:
            vector = catalog.read.vector(connection, space.id, ref)
            kept = catalog.taxonomies.kept(connection)
        if vector is None:
            raise NothingEmbeddedError(
                f"{ref} has no vector of {space.model}, which answers: it was not embedded with it yet, or not at all"
            )
        return _ImageScorer(vector=vector, space=space, encoder=encoder, texts=self._texts), _answering(kept, record)


def known_names(engine: Engine) -> frozenset[str]:
    """The taxonomies that the catalog has a version of."""
    with transaction(engine) as connection:
        return frozenset(catalog.taxonomies.versions_in_use(connection))


def _by_given(scorer: _ImageScorer, record: ImageRecord, taxonomies: Sequence[Taxonomy]) -> ImageExplanation:
    told = tuple(_compared(numbers, record, scorer.space, None) for numbers in scorer.explain(taxonomies))
    return ImageExplanation(record=record, space=scorer.space, taxonomies=told, notes=() if told else (_NONE,))


def _by_kept(scorer: _ImageScorer, record: ImageRecord, kept: Sequence[KeptTaxonomy]) -> ImageExplanation:
    space = scorer.space
    by_version = {(each.name, each.version): each for each in kept}
    newest, notes = _newest(kept)
    decided = {tag.taxonomy: tag.taxonomy_version for tag in _written(record, space)}
    older = {
        name: _restored(by_version[name, version])
        for name, version in decided.items()
        if name in newest and (name, version) in by_version and newest[name].version != version
    }
    told = now = {each.taxonomy: each for each in scorer.explain(list(newest.values()))}
    notes += [
        f"{name}: version {version}, which decided, is not in the catalog any more; explained by the newest one"
        for name, version in decided.items()
        if name in newest and (name, version) not in by_version
    ]
    if older:
        try:
            told = {each.taxonomy: each for each in scorer.explain([older.get(name, newest[name]) for name in newest])}
        except TaxonomyError as error:  # each version was in use, but never together with these
            notes.append(f"the versions that decided cannot be asked together ({error}); explained by the newest ones")
            older = {}
    compared = [_compared(told[name], record, space, now[name] if name in older else None) for name in told]
    if not compared and not notes:
        notes.append(_NONE)
    return ImageExplanation(record=record, space=space, taxonomies=tuple(compared), notes=tuple(notes))


def _limited(explained: ImageExplanation, only: Sequence[str]) -> ImageExplanation:
    shown = tuple(each for each in explained.taxonomies if each.numbers.taxonomy in only)
    missing = sorted(set(only) - {each.numbers.taxonomy for each in shown})
    notes = tuple(f"{name}: not in force, and this image has no tags of it" for name in missing)
    return replace(explained, taxonomies=shown, notes=explained.notes + notes)


def _newest(kept: Sequence[KeptTaxonomy]) -> tuple[dict[str, Taxonomy], list[str]]:
    """Each taxonomy's first version, by name, and notes on those that are left out.

    What a person decided outlives the taxonomy, and what its condition names.
    """
    every = [_restored(next(versions)) for _, versions in groupby(kept, key=lambda each: each.name)]
    left = tagging.decidable(every, among={each.name for each in kept if each.in_force})
    newest = {each.name: each for each in left}
    return newest, [
        f"{each.name}: not in force any more, nor is what its condition asks; its tags cannot be explained"
        for each in every
        if each.name not in newest
    ]


def _answering(kept: Sequence[KeptTaxonomy], record: ImageRecord) -> list[KeptTaxonomy]:
    """Taxonomies in force, and those the image has tags of; each one's version in force comes first."""
    names = {each.name for each in kept if each.in_force} | {tag.taxonomy for tag in record.tags}
    return [each for each in kept if each.name in names]


def _restored(kept: KeptTaxonomy) -> Taxonomy:
    return tagging.restore(kept.definition, version=kept.version)


def _written(record: ImageRecord, space: Space) -> list[TagRecord]:
    return [tag for tag in record.tags if tag.space == space.id]


def _compared(
    numbers: TaxonomyExplanation, record: ImageRecord, space: Space, newest: TaxonomyExplanation | None
) -> ExplainedTaxonomy:
    ours = [tag for tag in record.tags if tag.taxonomy == numbers.taxonomy]
    written = tuple(tag for tag in ours if tag.space == space.id)
    newer = None
    if newest is not None:
        newer = NewerVersionResult(version=newest.version, labels=newest.decided, applies=newest.applies)
    return ExplainedTaxonomy(
        numbers=numbers,
        standing=_standing(numbers, written, newer),
        written=written,
        human=tuple(tag for tag in ours if tag.source == "human"),
        rejected=tuple(tag for tag in record.rejected_tags if tag.taxonomy == numbers.taxonomy),
        newer=newer,
    )


def _standing(numbers: TaxonomyExplanation, written: Sequence[TagRecord], newer: NewerVersionResult | None) -> Standing:
    would_write = {(numbers.version, label) for label in numbers.decided or (None,)} if numbers.applies else set()
    if {(tag.taxonomy_version, tag.label) for tag in written} != would_write:
        return "differs" if written else "nothing"
    return "current" if newer is None else "older-version"
