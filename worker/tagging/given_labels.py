"""A taxonomy made of labels that somebody gives with the images, to be used once."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.errors import ChoiceError
from worker.suggestions import shown
from worker.tagging import neutral
from worker.tagging.taxonomy import ABSTENTION, Calibration, Label, Taxonomy

#: What such a taxonomy is called.
NAME = "labels"
_HOLE = "{}"
_MOST_LABELS = 1_000
#: Texts of one request, in all templates.
MOST_TEXTS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenLabel:
    """A label, and the texts that stand for it: the label itself if there are none."""

    name: str
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenLabels:
    """Labels to choose from, and how."""

    labels: tuple[GivenLabel, ...]
    templates: tuple[str, ...] = ()  # with {} for each prompt; empty: prompts unchanged
    background: tuple[str, ...] = ()  # prompts of images that none of the labels fits
    many: bool = False  # an image may have any number of them
    threshold: float | None = None  # least probability; None: 0 if they exclude each other, else 0.5
    margin: float = 0.0  # least lead over the runner-up, in probability

    def taxonomy(self) -> Taxonomy:
        """The question that they are.

        If they exclude each other, probabilities are the softmax over the labels and the background at the model's
        logit scale. If not, each is judged by itself, relative to neutral prompts: see ``scoring``.

        Raises:
            ChoiceError: a label is given twice, is empty, or has nothing to compete with; a template has no place for
                it; or there is too much.
        """
        labels = tuple(
            Label(name=_text(each.name), prompts=_texts(each.prompts or (each.name,))) for each in self.labels
        )
        templates, background = _texts(self.templates or (_HOLE,)), _texts(self.background)
        _check([each.name for each in labels])
        self._require_rival(labels, background)
        for each in templates:
            if _HOLE not in each:
                raise ChoiceError(f"template {shown(each)}: write {_HOLE} where the label goes: 'a photo of {_HOLE}'")
        if not all(text for text in (*background, *(text for each in labels for text in each.prompts))):
            raise ChoiceError("a prompt is empty; leave it out")
        texts = (sum(len(each.prompts) for each in labels) + len(background)) * len(templates)
        if len(labels) > _MOST_LABELS or texts > MOST_TEXTS:
            raise ChoiceError(
                f"{len(labels):,} labels with {texts:,} texts in all templates are too many at once; send at most "
                f"{_MOST_LABELS:,} labels with {MOST_TEXTS:,} texts, or put them into a taxonomy"
            )
        least = self.threshold if self.threshold is not None else 0.5 if self.many else 0.0
        return Taxonomy(
            name=NAME,
            labels=labels,
            mode="multi-label" if self.many else "exclusive",
            templates=templates,
            background=background,
            calibration=Calibration(threshold=least, margin=self.margin),
            neutral=neutral.EDITION if self.many else "",
        )

    def _require_rival(self, labels: Sequence[Label], background: Sequence[str]) -> None:
        if len(labels) == 1 and not (self.many or background):
            raise ChoiceError(
                f"label {shown(labels[0].name)} has nothing to compete with, so every image would have it; give "
                "another label or a background, or allow many labels for an image"
            )


def _check(names: Sequence[str]) -> None:
    if not names:
        raise ChoiceError("there are no labels to choose from; give at least one")
    [(name, times)] = Counter(names).most_common(1)
    if times > 1:
        raise ChoiceError(f"label {shown(name)} is given {times} times; give it once")
    for each in names:
        if not each:
            raise ChoiceError("a label is empty; write what to look for")
        if each.casefold() == ABSTENTION:
            raise ChoiceError(f"{shown(each)} is what an image without a label gets; give background prompts instead")


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values)


def _text(value: str) -> str:
    """Spacing and composition as in files: neither may make a difference."""
    return unicodedata.normalize("NFC", " ".join(value.split()))
