"""Explains why an image has its tags: every number that was compared, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.tagging import conditions, neutral
from worker.tagging.exact_similarity import exact_rows, similarities
from worker.tagging.matrix import NONE, Choice, EncodeTexts, encoded
from worker.tagging.neutral import Yardstick
from worker.tagging.reasons import REASONS, LabelReason
from worker.tagging.scoring import ChoiceResult, Rule, is_by_itself, judge, nearest
from worker.tagging.tagger import Tagger
from worker.tagging.taxonomy import Label, Taxonomy
from worker.types import Floats

#: Reasons of labels whose children are asked about.
_HOLDING = (LabelReason.DECIDED, LabelReason.UNPROVEN)


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
    neutral_level: float | None  # cosine that it must exceed, among its rivals; None: neutral prompts do not matter
    over_neutral: float | None  # its lead over that level, in standard deviations of the neutral prompts
    lead: float  # over the strongest rival, in probability; negative if it lost
    threshold: float
    margin: float
    texts: tuple[TextSimilarity, ...]  # its own, nearest first
    opposite: Opposite | None

    @property
    def holds(self) -> bool:
        """Whether it is a tag."""
        return self.reason is LabelReason.DECIDED

    @property
    def suggested(self) -> bool:
        """Whether it is only suggested."""
        return self.reason is LabelReason.UNPROVEN


@dataclass(frozen=True, kw_only=True, slots=True)
class Rivals:
    """What the labels of one level compete with, besides each other."""

    parent: str | None  # None: at the top
    similarity: float  # cosine of the background's nearest prompt: with ``mean``, all texts of a prompt are one vector
    texts: tuple[TextSimilarity, ...]  # of the background, nearest first


@dataclass(frozen=True, kw_only=True, slots=True)
class NeutralPrompts:
    """What the image is to prompts that ask nothing."""

    mean: float  # of their cosines
    deviation: float  # standard deviation
    nearest: TextSimilarity  # which prompt is nearest, and its cosine


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyExplanation:
    """Everything that one taxonomy compared."""

    taxonomy: str
    title: str
    version: str
    mode: str
    applies: bool  # False: its condition is not met, and it writes nothing
    calibrated: bool  # whether anybody chose numbers for this model
    factor: float  # cosines times this are the logits; with neutral prompts it depends on the image
    neutral: NeutralPrompts | None  # None: labels are not judged relative to neutral prompts
    labels: tuple[LabelExplanation, ...]  # parents before children
    background: tuple[Rivals, ...]

    @property
    def decided(self) -> tuple[str, ...]:
        """The labels that hold."""
        return tuple(each.label for each in self.labels if each.holds)

    @property
    def suggested(self) -> tuple[str, ...]:
        """The labels that would hold if their precision were proven."""
        return tuple(each.label for each in self.labels if each.suggested)

    @property
    def because(self) -> LabelReason:
        """The rule that decided; if none of the labels holds, that of the one that came nearest."""
        if not self.applies:
            return LabelReason.CONDITION_NOT_MET
        top = [each for each in self.labels if each.parent is None]
        return max(top, key=lambda each: (each.holds, each.suggested, each.probability)).reason


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
    for (cosines, yard), by in zip(tagger.compare(image), tagger.rules, strict=True):
        taxonomy = by.matrix.taxonomy
        named = {label.name: label for label, _ in taxonomy.walk()}
        compared = _neutral(by, yard, image)
        one = _Explainer(
            by=by, cosines=cosines, yard=yard, neutral=compared, known=known, model=tagger.model, named=named
        )
        found = one.taxonomy(applies=conditions.holds(taxonomy, answers))
        explained[taxonomy.name] = found
        if found.applies:
            answers[taxonomy.name] = set(found.decided) or {None}
    return tuple(explained[each.name] for each in tagger.taxonomies)


def _neutral(by: Rule, yard: Yardstick | None, image: Floats) -> NeutralPrompts | None:
    if yard is None or by.matrix.neutral is None:
        return None
    found = similarities(exact_rows(by.matrix.neutral), image)[:, 0]
    best = int(found.argmax())
    return NeutralPrompts(
        mean=float(yard.mean[0]),
        deviation=float(yard.deviation[0]),
        nearest=TextSimilarity(text=neutral.PROMPTS[best], similarity=float(found[best])),
    )


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
    yard: Yardstick | None  # if the rule is relative
    neutral: NeutralPrompts | None
    known: Mapping[str, float]  # text → similarity
    model: str
    named: Mapping[str, Label]

    def taxonomy(self, *, applies: bool) -> TaxonomyExplanation:
        taxonomy, matrix = self.by.matrix.taxonomy, self.by.matrix
        reasons: dict[int, LabelReason] = {}
        labels: dict[int, LabelExplanation] = {}
        for choice in matrix.choices:
            parent_holds = choice.parent == NONE or reasons[choice.parent] in _HOLDING
            for each, explanation in self._choice(choice, applies=applies, parent_holds=parent_holds):
                labels[each], reasons[each] = explanation, explanation.reason
        return TaxonomyExplanation(
            taxonomy=taxonomy.name,
            title=taxonomy.title or taxonomy.name,
            version=taxonomy.version,
            mode=taxonomy.mode,
            applies=applies,
            calibrated=taxonomy.is_calibrated_for(self.model),
            factor=self.by.factor if self.yard is None else float(self.yard.factor(self.by.temperature)[0]),
            neutral=self.neutral,
            labels=tuple(labels[index] for index in sorted(labels)),
            background=tuple(self._rivals(choice) for choice in matrix.choices if choice.background),
        )

    def _choice(self, choice: Choice, *, applies: bool, parent_holds: bool) -> list[tuple[int, LabelExplanation]]:
        part = self.cosines[choice.rows]
        verdict, candidates = judge(part, self.by, choice, self.yard), nearest(part, choice)
        explained = []
        places = np.arange(len(choice.labels))
        codes = verdict.reasons(places, np.zeros_like(places)).tolist()
        for place, index in enumerate(choice.labels.tolist()):
            if not applies:
                reason = LabelReason.CONDITION_NOT_MET
            elif not parent_holds:
                reason = LabelReason.PARENT_NOT_DECIDED
            else:
                reason = REASONS[codes[place]]
            explained.append((index, self._label(place, choice, candidates[:, 0], verdict, reason)))
        return explained

    def _level(self, choice: Choice, candidates: Floats) -> float | None:
        if self.yard is None:
            return None
        return float(self.yard.level(candidates[-1:] if choice.background else None)[0])

    def _over(self, level: float | None, similarity: float) -> float | None:
        if level is None or self.yard is None:
            return None
        deviation = float(self.yard.deviation[0])
        return (similarity - level) / deviation if deviation > 0 else 0.0

    def _rival(self, place: int, choice: Choice, candidates: Floats) -> float | None:
        level = self._level(choice, candidates)
        rest = candidates[:-1] if choice.background and level is not None else candidates  # it is in the level
        others = np.delete(rest, place)
        if is_by_itself(self.by.matrix, choice):
            own = [choice.negatives[place]] if choice.negatives[place] != NONE else []
            others = candidates[[*own, *([-1] if choice.background and level is None else [])]]
        found = [*others.tolist(), *([] if level is None else [level])]
        return max(found, default=None)

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
        matrix, index, level = self.by.matrix, choice.labels[place], self._level(choice, candidates)
        name = matrix.labels[index]
        return LabelExplanation(
            label=name,
            title=self.named[name].title or name,
            parent=None if choice.parent == NONE else matrix.labels[choice.parent],
            reason=reason,
            similarity=float(verdict.score[place, 0]),
            probability=float(verdict.probability[place, 0]),
            rival=self._rival(place, choice, candidates),
            neutral_level=level,
            over_neutral=self._over(level, float(verdict.score[place, 0])),
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
