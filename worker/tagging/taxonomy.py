"""What a taxonomy is: labels, the texts that stand for them, and when an answer is good enough."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

#: How the texts of a label become one similarity: of their mean embedding, or of the nearest of them.
Aggregate: TypeAlias = Literal["mean", "max"]

#: Part of every version. Raise it when the scoring rule changes, so that tags of the old rule can be told apart.
SCORING_RULE = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """One possible answer. Only the prompts affect scores."""

    name: str
    prompts: tuple[str, ...]
    title: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """When an answer is good enough. Probabilities of two models do not mean the same, hence one per model."""

    threshold: float = 0.5  # least probability of a tag
    margin: float = 0.0  # least lead over the runner-up, in probability
    temperature: float = 1.0  # divides the model's logit scale; above 1 is more cautious


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """A question with at most one answer. ``None of these`` is always possible."""

    name: str
    labels: tuple[Label, ...]  # in the order of the file, for display; scores do not depend on it
    title: str = ""
    description: str = ""
    templates: tuple[str, ...] = ("{}",)
    aggregate: Aggregate = "mean"
    background: tuple[str, ...] = ()  # prompts for pictures none of the labels fit
    calibration: Calibration = Calibration()
    models: Mapping[str, Calibration] = field(default_factory=dict, hash=False)

    def calibration_for(self, model: str) -> Calibration:
        """The calibration to use with a model: its own where the taxonomy has one, else the general one."""
        return self.models.get(model, self.calibration)

    def texts(self, prompt: str) -> tuple[str, ...]:
        """The prompt in each template, every text once."""
        return _unique(template.replace("{}", prompt) for template in self.templates)

    def label_texts(self, label: Label) -> tuple[str, ...]:
        """Every prompt of the label in every template, every text once, so that repetition carries no weight.

        Sorted: sums of floats depend on order, and tags must not depend on how a file is arranged.
        """
        return tuple(sorted({text for prompt in label.prompts for text in self.texts(prompt)}))

    @cached_property
    def version(self) -> str:
        """16 hex digits of a hash over everything that affects scores and nothing that does not.

        Titles, descriptions, aliases, comments, order, spacing and repetition leave it as it is.
        """
        canonical = json.dumps(self._score_affecting(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def _score_affecting(self) -> dict[str, Any]:
        return {
            "rule": SCORING_RULE,
            "labels": {label.name: sorted(set(label.prompts)) for label in self.labels},
            "templates": sorted(set(self.templates)),
            "aggregate": self.aggregate,
            "background": sorted(set(self.background)),
            "calibration": _numbers(self.calibration),
            # An entry that repeats the general calibration decides nothing differently.
            "models": {model: _numbers(own) for model, own in self.models.items() if own != self.calibration},
        }


def _numbers(calibration: Calibration) -> list[float]:
    # 1 and 1.0 are equal numbers but unequal JSON.
    return [float(number) for number in astuple(calibration)]


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
