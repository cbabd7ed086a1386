"""The use case: what a taxonomy would say about a sample of the catalog. Nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker import catalog, tagging
from worker.catalog.image_names import NamedImage
from worker.catalog.spaces import Space
from worker.db import Engine, snapshot, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.estimates import Estimate, Sampling
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.reading.label_texts import LabelTexts, require_few
from worker.pipeline.reading.vector_samples import VectorSample, VectorSamples
from worker.pipeline.taxonomies.abstention_summary import AbstentionSummary, summary
from worker.pipeline.taxonomies.retag import stored_answers
from worker.suggestions import shown as quoted
from worker.suggestions import suggested
from worker.tagging import AbstentionCounts, HumanDecisions, MoveCounts, Taxonomy, TaxonomyFile, Vocabulary
from worker.tagging.conditions import required
from worker.tagging.trials import LabelTrial, Trial, TriedImages, try_on

#: Images of a sample: by default, and at most.
SAMPLE, MOST_SAMPLE = 2_000, 10_000
#: Images of each strip: by default, and at most; labels that have strips by default, and at most.
STRIP, MOST_STRIP = 6, 24
SHOWN, MOST_SHOWN = 12, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedImage:
    """An image and what a label makes of it."""

    image: NamedImage
    probability: float
    similarity: float
    holds: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStrips:
    """A few images of a label, as ``tagging.trials.Strips`` has them."""

    best: tuple[TriedImage, ...]
    above: tuple[TriedImage, ...]
    below: tuple[TriedImage, ...]
    worst: tuple[TriedImage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedLabel:
    """What the sample says about one label; numbers of the sample are in ``trial``."""

    trial: LabelTrial
    tagged: Estimate
    suggested: Estimate
    strips: ImageStrips | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyTrial:
    """What the taxonomy would say."""

    taxonomy: Taxonomy
    space: Space
    sampling: Sampling
    tagged: Estimate  # images with one label or more
    suggested: Estimate  # images that have only suggestions
    abstentions: AbstentionSummary  # images without a label, and why
    differs: Estimate | None  # images of which a label would come or go; None: no taxonomy of this name is in force
    hidden: Estimate | None  # … if no person had decided; not counted above
    labels: tuple[TriedLabel, ...]  # in the order of the file; those that images are compared with
    unlearned: tuple[str, ...]  # labels without prompts that no head knows yet
    unproven: tuple[str, ...]  # labels that are only suggested


class TaxonomyTrials:
    """Tries taxonomies on the active space. Threads may share one: the sample's vectors are kept, and new texts too."""

    def __init__(self, engine: Engine, examples: ExampleVectors) -> None:
        """Load nothing yet."""
        self._engine, self._examples = engine, examples
        self._texts, self._samples = LabelTexts(engine, examples), VectorSamples(engine)
        self._in_force: tuple[int, tuple[Taxonomy, ...]] = (0, ())
        self._mutex = threading.Lock()

    def __call__(
        self,
        file: TaxonomyFile,
        *,
        sample: int = SAMPLE,
        shown: Sequence[str] | None = None,
        strip: int = STRIP,
    ) -> TaxonomyTrial:
        """Score a sample as if this taxonomy were in force, beside or in place of the one of its name.

        Args:
            file: the taxonomy.
            sample: images to score; of fewer, all are. The same ones while the catalog stays the same.
            shown: labels to show images of; None: the first ``SHOWN``.
            strip: most images of each kind.

        Raises:
            ChoiceError: it is a vocabulary, has too many texts, or ``shown`` names a label that it does not have.
            TaxonomyError: its condition cannot be decided by what is in force.
            TextTooLongError: the model does not read all of a label's text.
            NothingEmbeddedError: there is no space yet.
            ModelUnavailableError: a text is new, and the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        space = self._examples.space()
        others = {each.name: each for each in self._others()}
        taxonomy = _carrying(file.taxonomy, others)
        labels = _shown(taxonomy, shown)
        require_few([taxonomy], space.model)
        self._texts.require_whole(space, taxonomy)
        together = [*(each for each in others.values() if each.name != taxonomy.name), taxonomy]
        tagging.check_conditions([file], together)
        tagger = self._texts.tagger(space, _needed(taxonomy, together))
        found = self._samples(space, sample)
        trial = try_on(tagger, taxonomy.name, found.vectors, shown=labels, strip=strip)
        return self._result(space, taxonomy, others.get(taxonomy.name), found, trial)

    def _others(self) -> tuple[Taxonomy, ...]:
        """The taxonomies in force, restored once for each revision."""
        with self._mutex, transaction(self._engine) as connection:
            current = catalog.taxonomy_revisions.current(connection)
            if current is None:
                return ()
            if self._in_force[0] != current.id:
                stored = catalog.taxonomy_revisions.definitions_of(connection, current.id)
                self._in_force = (current.id, tuple(tagging.restore(each, version=version) for version, each in stored))
            return self._in_force[1]

    def _result(
        self, space: Space, taxonomy: Taxonomy, before: Taxonomy | None, sample: VectorSample, trial: Trial
    ) -> TaxonomyTrial:
        count = sample.sampling.count
        counts, abstained = None, AbstentionCounts()
        abstained.add([trial.decisions], trial.images)
        rows = {row for each in trial.labels for part in _parts(each) for row in part.images.tolist()}
        with snapshot(self._engine) as connection:
            if before is not None:
                counts = MoveCounts(Vocabulary.of([taxonomy]))
                tags, people = catalog.bulk_read.read_tags(
                    connection, space, sample.images, taxonomy=taxonomy.name, numbering=counts.vocabulary, version=None
                )
                decided = HumanDecisions(images=people.images, answers=people.answers, whole=people.whole)
                new = tagging.answers([trial.decisions], counts.vocabulary)
                counts.add(tagging.tag_diff(stored_answers(tags), new), sample.images, decided)
            by_id = catalog.image_names.by_id(connection, sample.images[sorted(rows)].tolist())
        named = {row: by_id[image] for row in rows if (image := int(sample.images[row])) in by_id}
        return TaxonomyTrial(
            taxonomy=taxonomy,
            space=space,
            sampling=sample.sampling,
            tagged=count(trial.tagged),
            suggested=count(trial.suggested),
            abstentions=summary(abstained, taxonomy.name, sample.sampling),
            differs=None if counts is None else count(counts.changed),
            hidden=None if counts is None else count(counts.unseen),
            labels=_in_order(taxonomy, trial.labels, sample.sampling, named),
            unlearned=_names(taxonomy, taxonomy.unlearned(space.id)),
            unproven=_names(taxonomy, taxonomy.suggested(space.id)),
        )


def _carrying(taxonomy: Taxonomy, in_force: Mapping[str, Taxonomy]) -> Taxonomy:
    """With what reviews taught about the one in force, as far as that still counts: applying does the same."""
    if not taxonomy.decides:
        raise ChoiceError(
            f"{taxonomy.name} is a vocabulary, which decides nothing about images; there is nothing to try"
        )
    before = in_force.get(taxonomy.name)
    return taxonomy if before is None else taxonomy.carrying(before)


def _shown(taxonomy: Taxonomy, wanted: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(label.name for label, _ in taxonomy.walk())
    for each in wanted or ():
        if each not in names:
            there = f"its labels are {', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''}"
            raise ChoiceError(f"{taxonomy.name} has no label {quoted(each)}; {suggested(each, names, otherwise=there)}")
    return names[:SHOWN] if wanted is None else tuple(wanted)


def _needed(taxonomy: Taxonomy, together: Sequence[Taxonomy]) -> list[Taxonomy]:
    """The taxonomy and all that its condition asks about, directly or not: nothing else has to be scored."""
    by_name = {each.name: each for each in together}
    found: dict[str, Taxonomy] = {}
    wanted = [taxonomy.name]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = by_name[name]
            wanted += required(by_name[name])
    return list(found.values())


def _names(taxonomy: Taxonomy, among: Iterable[str]) -> tuple[str, ...]:
    wanted = frozenset(among)
    return tuple(label.name for label, _ in taxonomy.walk() if label.name in wanted)


def _parts(label: LabelTrial) -> tuple[TriedImages, ...]:
    strips = label.strips
    return () if strips is None else (strips.best, strips.above, strips.below, strips.worst)


def _in_order(
    taxonomy: Taxonomy, labels: Sequence[LabelTrial], sampling: Sampling, named: Mapping[int, NamedImage]
) -> tuple[TriedLabel, ...]:
    by_name = {each.label: each for each in labels}
    return tuple(
        TriedLabel(
            trial=each,
            tagged=sampling.count(each.tagged),
            suggested=sampling.count(each.suggested),
            strips=_strips(each, named),
        )
        for label, _ in taxonomy.walk()
        if (each := by_name.get(label.name)) is not None
    )


def _strips(label: LabelTrial, named: Mapping[int, NamedImage]) -> ImageStrips | None:
    if label.strips is None:
        return None
    best, above, below, worst = (_images(part, named) for part in _parts(label))
    return ImageStrips(best=best, above=above, below=below, worst=worst)


def _images(part: TriedImages, named: Mapping[int, NamedImage]) -> tuple[TriedImage, ...]:
    """Those that are still there."""
    columns = (part.images.tolist(), part.probability.tolist(), part.similarity.tolist(), part.holds.tolist())
    return tuple(
        TriedImage(image=named[row], probability=probability, similarity=similarity, holds=holds)
        for row, probability, similarity, holds in zip(*columns, strict=True)
        if row in named
    )


__all__ = [
    "MOST_SAMPLE",
    "MOST_SHOWN",
    "MOST_STRIP",
    "SAMPLE",
    "SHOWN",
    "STRIP",
    "ImageStrips",
    "TaxonomyTrial",
    "TaxonomyTrials",
    "TriedImage",
    "TriedLabel",
]
