"""Explains why an image has its tags: every number that was compared, and the result."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.tagging import conditions
from worker.tagging.exact_similarity import exact_rows, similarities
from worker.tagging.matrix import NONE, Choice, EncodeTexts, encoded
from worker.tagging.scoring import ChoiceResult, Rule, judge, nearest
from worker.tagging.tagger import Tagger
from worker.tagging.taxonomy import Label, Taxonomy
from worker.types import Floats


class LabelReason(enum.StrEnum):
    """Why a label holds or not. The codes are an interface."""

    DECIDED = "decided"
    BACKGROUND_NEARER = "background-nearer"  # what is none of the labels, or what this label is not, is nearer
    LABEL_NEARER = "another-label-nearer"
    TIE = "tie"  # exactly as near as another candidate
    BELOW_THRESHOLD = "below-threshold"
    MARGIN_TOO_SMALL = "margin-too-small"
    PARENT_NOT_DECIDED = "parent-not-decided"
    CONDITION_NOT_MET = "condition-not-met"


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSimilarity:
    """One text that was compared with the image."""

    text: str
    similarity: float  # cosine


@dataclass(frozen=True, kw_only=True, slots=True)
class Opposite:
    """What a label is not, from ``not`` in the taxonomy: it competes as a candidate of its own."""

    similarity: float  # cosine of its nearest prompt, all of whose texts are one vector with the aggregate ``mean``
    texts: tuple[TextSimilarity, ...]  # nearest first


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelExplanation:
    """One label's numbers, given even if the taxonomy does not apply, to show how near it was."""

    label: str
    title: str  # what people call it
    parent: str | None
    reason: LabelReason
    similarity: float  # cosine of the label's nearest row: what the aggregate made of its texts, or of those below it
    probability: float
    rival: float | None  # cosine of the strongest other candidate; None: there is no other
    lead: float  # over that rival, in probability; negative if it lost
    threshold: float
    margin: float
    texts: tuple[TextSimilarity, ...]  # its own, nearest first
    opposite: Opposite | None

    @property
    def holds(self) -> bool:
        """Whether it is a tag."""
        return self.reason is LabelReason.DECIDED


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """What the labels of one level compete with, besides each other."""

    parent: str | None  # None: at the top
    similarity: float  # cosine of the background's nearest prompt: with ``mean``, all texts of a prompt are one vector
    texts: tuple[TextSimilarity, ...]  # of the background, nearest first


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyExplanation:
    """Everything that one taxonomy compared."""

    taxonomy: str
    title: str
    version: str
    mode: str
    applies: bool  # False: its condition is not met, and it writes nothing
    calibrated: bool  # whether anybody chose numbers for this model
    factor: float  # cosines times this are the logits: logit scale / temperature
    labels: tuple[LabelExplanation, ...]  # parents before children
    background: tuple[Rivals, ...]

    @property
    def decided(self) -> tuple[str, ...]:
        """The labels that hold."""
        return tuple(each.label for each in self.labels if each.holds)

    @property
    def because(self) -> LabelReason:
        """The rule that decided; if none of the labels holds, that of the one that came nearest."""
        if not self.applies:
            return LabelReason.CONDITION_NOT_MET
        top = [each for each in self.labels if each.parent is None]
        return max(top, key=lambda each: (each.holds, each.probability)).reason


def explain(tagger: Tagger, vector: Floats, encode_texts: EncodeTexts) -> tuple[TaxonomyExplanation, ...]:
    """Explain one image's tags, by the code and the numbers that decide them.

    Args:
        tagger: what decides.
        vector: ``[d]`` of unit length.
        encode_texts: what the tagger was built with; called once, for the similarities of single texts.

    Raises:
        SpaceMismatchError: the vector is of another dimension.
        ValueError: it is not finite.
    """
    image = vector[np.newaxis]
    known = _texts_of(tagger, encode_texts, image)
    answers: dict[str, set[str | None]] = {}
    explained: dict[str, TaxonomyExplanation] = {}
    for cosines, by in zip(tagger.similarities(image), tagger.rules, strict=True):
        taxonomy = by.matrix.taxonomy
        named = {label.name: label for label, _ in taxonomy.walk()}
        one = _Explainer(by=by, cosines=cosines, known=known, model=tagger.model, named=named)
        found = one.taxonomy(applies=conditions.holds(taxonomy, answers))
        explained[taxonomy.name] = found
        if found.applies:
            answers[taxonomy.name] = set(found.decided) or {None}
    return tuple(explained[each.name] for each in tagger.taxonomies)


def _texts_of(tagger: Tagger, encode_texts: EncodeTexts, image: Floats) -> dict[str, float]:
    texts = list(dict.fromkeys(text for each in tagger.taxonomies for text in _every_text(each, tagger.model)))
    if not texts:
        return {}
    rows = exact_rows(np.stack(list(encoded(texts, encode_texts).values())))
    return dict(zip(texts, similarities(rows, image)[:, 0].tolist(), strict=True))


def _every_text(taxonomy: Taxonomy, model: str) -> Sequence[str]:
    found: list[str] = []
    for label in (None, *(label for label, _ in taxonomy.walk())):
        prompts = taxonomy.background_texts(label, model)
        if label is not None:
            prompts = (taxonomy.label_texts(label, model), *taxonomy.negative_texts(label, model), *prompts)
        found += [text for texts in prompts for text in texts]
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Explainer:
    """One taxonomy and one image."""

    by: Rule
    cosines: Floats  # [rows of the matrix, 1]
    known: Mapping[str, float]  # text → similarity
    model: str
    named: Mapping[str, Label]

    def taxonomy(self, *, applies: bool) -> TaxonomyExplanation:
        taxonomy, matrix = self.by.matrix.taxonomy, self.by.matrix
        reasons: dict[int, LabelReason] = {}
        labels: dict[int, LabelExplanation] = {}
        for choice in matrix.choices:
            parent_holds = choice.parent == NONE or reasons[choice.parent] is LabelReason.DECIDED
            for each, explanation in self._choice(choice, applies=applies, parent_holds=parent_holds):
                labels[each], reasons[each] = explanation, explanation.reason
        return TaxonomyExplanation(
            taxonomy=taxonomy.name,
            title=taxonomy.title or taxonomy.name,
            version=taxonomy.version,
            mode=taxonomy.mode,
            applies=applies,
            calibrated=taxonomy.is_calibrated_for(self.model),
            factor=self.by.factor,
            labels=tuple(labels[index] for index in sorted(labels)),
            background=tuple(self._rivals(choice) for choice in matrix.choices if choice.background),
        )

    def _choice(self, choice: Choice, *, applies: bool, parent_holds: bool) -> list[tuple[int, LabelExplanation]]:
        part = self.cosines[choice.rows]
        verdict, candidates = judge(part, self.by, choice), nearest(part, choice)
        explained = []
        for place, index in enumerate(choice.labels.tolist()):
            if not applies:
                reason = LabelReason.CONDITION_NOT_MET
            elif not parent_holds:
                reason = LabelReason.PARENT_NOT_DECIDED
            else:
                reason = self._reason(verdict, candidates, choice, place)
            explained.append((index, self._label(place, choice, candidates[:, 0], verdict, reason)))
        return explained

    def _reason(self, verdict: ChoiceResult, candidates: Floats, choice: Choice, place: int) -> LabelReason:
        index = choice.labels[place]
        if verdict.holds[place, 0]:
            return LabelReason.DECIDED
        if verdict.lead[place, 0] == 0:
            return LabelReason.TIE
        if verdict.lead[place, 0] < 0:
            winner = int(candidates[:, 0].argmax())
            to_a_label = winner < len(choice.labels) and not self._is_by_itself(choice)
            return LabelReason.LABEL_NEARER if to_a_label else LabelReason.BACKGROUND_NEARER
        unlikely = verdict.probability[place, 0] < self.by.thresholds[index]
        return LabelReason.BELOW_THRESHOLD if unlikely else LabelReason.MARGIN_TOO_SMALL

    def _is_by_itself(self, choice: Choice) -> bool:
        """Whether each label has rivals of its own, instead of the others."""
        return choice.parent == NONE and self.by.matrix.taxonomy.mode == "multi-label"

    def _rival(self, place: int, choice: Choice, candidates: Floats) -> float | None:
        others = np.delete(candidates, place)
        if self._is_by_itself(choice):
            own = [choice.negatives[place]] if choice.negatives[place] != NONE else []
            others = candidates[[*own, *([-1] if choice.background else [])]]
        return float(others.max()) if len(others) else None

    def _opposite(self, place: int, choice: Choice, candidates: Floats) -> Opposite | None:
        if choice.negatives[place] == NONE:
            return None
        label = self.named[self.by.matrix.labels[choice.labels[place]]]
        prompts = self.by.matrix.taxonomy.negative_texts(label, self.model)
        return Opposite(
            similarity=float(candidates[choice.negatives[place]]),
            texts=self._compared([text for texts in prompts for text in texts]),
        )

    def _label(
        self, place: int, choice: Choice, candidates: Floats, verdict: ChoiceResult, reason: LabelReason
    ) -> LabelExplanation:
        matrix, index = self.by.matrix, choice.labels[place]
        name = matrix.labels[index]
        return LabelExplanation(
            label=name,
            title=self.named[name].title or name,
            parent=None if choice.parent == NONE else matrix.labels[choice.parent],
            reason=reason,
            similarity=float(verdict.score[place, 0]),
            probability=float(verdict.probability[place, 0]),
            rival=self._rival(place, choice, candidates),
            lead=float(verdict.lead[place, 0]),
            threshold=_shortest(self.by.thresholds[index]),
            margin=_shortest(self.by.margin),
            texts=self._compared(matrix.taxonomy.label_texts(self.named[name], self.model)),
            opposite=self._opposite(place, choice, candidates),
        )

    def _rivals(self, choice: Choice) -> Rivals:
        parent = None if choice.parent == NONE else self.by.matrix.labels[choice.parent]
        prompts = self.by.matrix.taxonomy.background_texts(None if parent is None else self.named[parent], self.model)
        return Rivals(
            parent=parent,
            similarity=float(nearest(self.cosines[choice.rows], choice)[-1, 0]),
            texts=self._compared([text for texts in prompts for text in texts]),
        )

    def _compared(self, texts: Sequence[str]) -> tuple[TextSimilarity, ...]:
        found = [TextSimilarity(text=text, similarity=self.known[text]) for text in texts]
        return tuple(sorted(found, key=lambda each: (-each.similarity, each.text)))


def _shortest(number: np.float32) -> float:
    """0.6, as it was written, instead of the nearest single 0.6000000238418579."""
    return float(str(number))
