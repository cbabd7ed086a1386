"""The use case: classify images by labels that the caller gives, or by taxonomies; nothing is stored."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker import tagging
from worker.catalog.image_filter import ImageFilter
from worker.catalog.spaces import Space
from worker.db import Engine
from worker.errors import ChoiceError, EnrichError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading import image_list
from worker.pipeline.reading.examples import EmbeddedExample, ExampleVectors, Given, Stored, Uploaded
from worker.pipeline.reading.label_texts import LabelTexts, require_few
from worker.pipeline.taxonomies.catalog_state import in_catalog
from worker.suggestions import shown, suggested
from worker.tagging import Abstention, Tagger, Taxonomy, TaxonomyFile
from worker.tagging.given_labels import GivenLabels
from worker.tagging.label_probabilities import LabelScores, score_labels
from worker.types import SUGGESTION, Floats, ObjectRef

#: Images, and files among them, of one call.
MOST_IMAGES, MOST_UPLOADS = 256, 32
#: Built taggers that are kept: the taxonomies in force, and what was asked lately; and bytes of their vectors together.
_MOST_TAGGERS, _MOST_BYTES = 8, 128 << 20
#: Images that are scored at a time: with 10,000 labels, a few megabytes.
_CHUNK = 128

#: An image to classify.
Picture = Stored | Uploaded | Given


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What to choose from: exactly one of labels, names of taxonomies in force, and taxonomies of files."""

    labels: GivenLabels | None = None
    taxonomies: tuple[str, ...] = ()
    files: tuple[TaxonomyFile, ...] = ()
    top: int = 100  # most labels of a taxonomy to report

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            ChoiceError: none of them is given, or several.
        """
        if sum(map(bool, (self.labels, self.taxonomies, self.files))) != 1:
            raise ChoiceError(
                "say what to choose from, in one of three ways: labels, names of taxonomies in force, or definitions"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredLabel:
    """A label and how well it fits an image."""

    label: str
    similarity: float  # cosine
    probability: float  # among its rivals, given that its parent holds
    holds: bool  # given that its parent does


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyAnswer:
    """What one taxonomy says about an image."""

    taxonomy: str
    applies: bool  # whether its condition is met
    decided: tuple[str, ...]  # its labels; parents before children
    abstention: Abstention | None  # why there is none, where it applies
    labels: tuple[ScoredLabel, ...]  # likeliest first, at most ``Question.top``


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifiedImage:
    """The answers about one image, or why there are none."""

    picture: Picture | None  # None: the caller could not make one
    answers: tuple[TaxonomyAnswer, ...] = ()
    problem: EnrichError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Classified:
    """Images in the order given, by the vectors of one space."""

    space: Space
    images: tuple[ClassifiedImage, ...]
    next: str | None = None  # cursor of the next page, of images that match a filter


class Classifier:
    """Classifies by the active space's model. Threads may share one: built taggers are kept."""

    def __init__(self, engine: Engine, examples: ExampleVectors) -> None:
        """Load nothing yet."""
        self._engine, self._examples = engine, examples
        self._texts = LabelTexts(engine, examples)
        self._taggers: OrderedDict[tuple[object, ...], Tagger] = OrderedDict()
        self._mutex = threading.Lock()

    def images(self, pictures: Sequence[Picture | EnrichError], question: Question) -> Classified:
        """Classify these. An image that cannot be read costs none of the others its answers.

        Args:
            pictures: images; an error in place of one that the caller could not make is passed on.
            question: what to choose from.

        Raises:
            ChoiceError: there are no images or too many, or the question is wrong.
            UnknownNameError: a taxonomy is not in force.
            TaxonomyError: taxonomies of files contradict those in force.
            TextTooLongError: the model does not read all of a label's text.
            NothingEmbeddedError: there is no space yet.
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        uploads = sum(isinstance(each, Uploaded) for each in pictures)
        if not 0 < len(pictures) <= MOST_IMAGES or uploads > MOST_UPLOADS:
            raise ChoiceError(
                f"{len(pictures)} images, of which {uploads} are files; send 1 to {MOST_IMAGES}, and at most "
                f"{MOST_UPLOADS} files"
            )
        space = self._examples.space()
        tagger = self._tagger(space, question)
        readable = [each for each in pictures if not isinstance(each, EnrichError)]
        found = self._examples.embed_each(readable, space)
        vectors = [each.vector for each in found if isinstance(each, EmbeddedExample)]
        answers = iter(_answers(tagger, np.stack(vectors), question) if vectors else ())
        results = iter(found)

        def classified(picture: Picture | EnrichError) -> ClassifiedImage:
            if isinstance(picture, EnrichError):
                return ClassifiedImage(picture=None, problem=picture)
            result = next(results)
            if isinstance(result, EnrichError):
                return ClassifiedImage(picture=picture, problem=result)
            return ClassifiedImage(picture=picture, answers=next(answers))

        return Classified(space=space, images=tuple(map(classified, pictures)))

    def page(self, wanted: ImageFilter, question: Question, *, limit: int, after: str | None = None) -> Classified:
        """Classify the next ``limit`` images that match a filter, by bucket and key; fewer if they are rare.

        Raises what ``images`` and ``image_list.images`` raise.
        """
        page = image_list.images(self._engine, wanted, limit=min(limit, MOST_IMAGES), after=after)
        pictures = [Stored(ref=ObjectRef(bucket=each.bucket, key=each.key)) for each in page.images]
        if not pictures:
            space = self._examples.space()
            self._tagger(space, question)  # to report its errors
            return Classified(space=space, images=(), next=page.next)
        found = self.images(pictures, question)
        return Classified(space=found.space, images=found.images, next=page.next)

    # -- taggers -------------------------------------------------------------------------------------------------------
    def _tagger(self, space: Space, question: Question) -> Tagger:
        taxonomies = self._taxonomies(space, question)
        key = (space.id, question.labels is None, *((each.name, each.version) for each in taxonomies))
        with self._mutex:
            if key in self._taggers:
                self._taggers.move_to_end(key)
                return self._taggers[key]
        tagger = self._texts.tagger(space, taxonomies)
        with self._mutex:
            self._taggers[key] = tagger
            while len(self._taggers) > 1 and (
                len(self._taggers) > _MOST_TAGGERS or sum(each.nbytes for each in self._taggers.values()) > _MOST_BYTES
            ):
                self._taggers.popitem(last=False)
        return tagger

    def _taxonomies(self, space: Space, question: Question) -> list[Taxonomy]:
        """All that are needed: a condition may ask about any of those in force."""
        if question.labels is not None:
            made = question.labels.taxonomy()
            self._texts.require_whole(space, made)
            return [made]
        given = [each.taxonomy for each in question.files]
        require_few(given, space.model)
        in_force = in_catalog(self._engine).in_force(but={each.name for each in given})
        together = [*in_force, *given]
        tagging.check_conditions(question.files, together)
        known = {each.name: each for each in in_force}
        for name in question.taxonomies:
            _require(name, known)
        for each in given:
            _require(each.name, {each.name: each})
            self._texts.require_whole(space, each)
        return together


def _require(name: str, known: dict[str, Taxonomy]) -> None:
    if name not in known:
        there = f"in force are {', '.join(known)}" if known else "none is in force yet"
        raise UnknownNameError(f"no taxonomy {shown(name)} is in force; {suggested(name, known, otherwise=there)}")
    if not known[name].decides:
        raise ChoiceError(
            f"{name} is a vocabulary, which decides nothing about images; ask for the labels nearest to an image "
            "instead"
        )


def _answers(tagger: Tagger, vectors: Floats, question: Question) -> Iterator[tuple[TaxonomyAnswer, ...]]:
    asked = {*question.taxonomies, *(each.taxonomy.name for each in question.files)}
    names = [each.name for each in tagger.taxonomies if not asked or each.name in asked]
    for start in range(0, len(vectors), _CHUNK):
        part = vectors[start : start + _CHUNK]
        scores = {
            rule.matrix.taxonomy.name: scored
            for rule, scored in zip(tagger.rules, score_labels(tagger, part), strict=True)
        }
        decided = tagger.decide(part)
        tags, abstained = tagging.tags(decided, len(part)), tagging.abstentions(decided, len(part))
        for image in range(len(part)):
            yield tuple(
                TaxonomyAnswer(
                    taxonomy=name,
                    applies=any(tag.taxonomy == name for tag in tags[image]),
                    decided=tuple(
                        tag.label
                        for tag in tags[image]
                        if tag.taxonomy == name and tag.label is not None and tag.source != SUGGESTION
                    ),
                    abstention=next((each for each in abstained[image] if each.taxonomy == name), None),
                    labels=_ranked(scores[name], image, question.top),
                )
                for name in names
            )


def _ranked(scored: LabelScores, image: int, top: int) -> tuple[ScoredLabel, ...]:
    probable = scored.probabilities
    column = probable.probability[:, image]
    order = np.lexsort((-scored.similarity[:, image], -column))[:top]
    return tuple(
        ScoredLabel(
            label=probable.labels[label],
            similarity=float(scored.similarity[label, image]),
            probability=float(column[label]),
            holds=bool(probable.holds[label, image]),
        )
        for label in order.tolist()
    )
