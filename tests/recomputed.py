"""An explanation recomputed from its own numbers, by the words of docs/how-to/explain-tags.md alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: A taxonomy of the answer, and one of its labels.
Told = Mapping[str, Any]

#: The reason of a label that lost, by whether the neutral level without a background beat it.
_UNLESS_A_LABEL = {False: "background-nearer", True: "below-neutral-level"}

#: What deciding is done with has 24 bits.
_PRECISION = 1e-5


def probability(told: Told, label: Told) -> float:
    """From similarities and the factor."""
    if _has_one_rival(told, label):
        rival = max(_rivals(told, label), default=-math.inf)
        return 1 / (1 + math.exp(told["factor"] * (rival - label["similarity"])))
    powers = [math.exp(told["factor"] * each) for each in _rivals(told, label)]
    own = math.exp(told["factor"] * label["similarity"])
    return own / (own + sum(powers))


def lead(told: Told, label: Told) -> float:
    """Over the strongest rival; all of the probability where there is none."""
    own, factor = probability(told, label), told["factor"]
    rivals = _rivals(told, label)
    if _has_one_rival(told, label):
        return 2 * own - 1
    return own - own * math.exp(factor * (max(rivals) - label["similarity"])) if rivals else own


def reason(told: Told, label: Told, before: Mapping[str, str]) -> str:
    """``before``: the reasons of the labels above."""
    if not told["applies"]:
        return "condition-not-met"
    if label["parent"] is not None and before[label["parent"]] != "decided":
        return "parent-not-decided"
    rivals = _rivals(told, label)
    strongest = max(rivals, default=-math.inf)
    if strongest == label["similarity"]:
        return "tie"
    if strongest > label["similarity"]:
        siblings = [] if _is_by_itself(told, label) else [each["similarity"] for each in _siblings(told, label)]
        below = strongest == _level(told, label, [])
        return "another-label-nearer" if strongest in siblings else _UNLESS_A_LABEL[below]
    if probability(told, label) < label["threshold"]:
        return "below-threshold"
    return "decided" if lead(told, label) >= label["margin"] else "margin-too-small"


def agrees(told: Told) -> bool:
    """Whether every probability, lead and rival, every reason, and the reason of the answer are what they should be."""
    before: dict[str, str] = {}
    for label in told["labels"]:  # parents before children
        before[label["label"]] = label["reason"] if _is_close_call(told, label) else reason(told, label, before)
        rivals = _rivals(told, label)
        assert math.isclose(label["rival"] or 0, max(rivals, default=0), abs_tol=1e-6), label
        assert math.isclose(label["probability"], probability(told, label), abs_tol=1e-5), label
        assert math.isclose(label["lead"], lead(told, label), abs_tol=1e-5), label
        assert label["reason"] == before[label["label"]], label
    return True


def _is_close_call(told: Told, label: Told) -> bool:
    """Whether rounding decides: a probability of 1 - 5e-7 is below a threshold of 1 in 24 bits."""
    beyond = probability(told, label) - label["threshold"], lead(told, label) - label["margin"]
    return bool(min(map(abs, beyond)) < _PRECISION)


def decided_by(told: Told) -> str:
    """The reason of the answer: of a label at the top that holds, or else came nearest."""
    if not told["applies"]:
        return "condition-not-met"
    top = [each for each in told["labels"] if each["parent"] is None]
    best = max(top, key=lambda each: (each["reason"] == "decided", probability(told, each)))
    return str(best["reason"])


def _is_by_itself(told: Told, label: Told) -> bool:
    return bool(told["mode"] == "multi-label" and label["parent"] is None)


def _has_one_rival(told: Told, label: Told) -> bool:
    return told["neutral"] is not None or _is_by_itself(told, label)


def _level(told: Told, label: Told, background: Sequence[float]) -> float | None:
    """The neutral level: as told for the label, if the numbers say the same."""
    if told["neutral"] is None:
        return None
    mean, deviation = told["neutral"]["mean"], told["neutral"]["deviation"]
    nearest = max([told["neutral"]["nearest"]["similarity"], *background])
    level = max(mean + 2.33 * deviation, nearest - deviation)
    given = float(label["neutral_level"])
    return given if math.isclose(level, given, abs_tol=1e-6) else level


def _rivals(told: Told, label: Told) -> list[float]:
    background = [each["similarity"] for each in told["background"] if each["parent"] == label["parent"]]
    level = _level(told, label, background)
    background = background if level is None else [level]  # what the background says is in it
    if _is_by_itself(told, label):
        return background + _opposites([label])
    others = _siblings(told, label)
    return [each["similarity"] for each in others] + _opposites([label, *others]) + background


def _siblings(told: Told, label: Told) -> list[Told]:
    return [each for each in told["labels"] if each["parent"] == label["parent"] and each["label"] != label["label"]]


def _opposites(labels: Sequence[Told]) -> list[float]:
    return [each["opposite"]["similarity"] for each in labels if each["opposite"] is not None]
