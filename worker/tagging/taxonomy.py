"""The taxonomy model: labels, the texts that stand for them, and thresholds for a good answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from worker.tagging import neutral
from worker.tagging.learned import Head, Learned

#: How the texts of a label become one similarity: of their mean embedding, or of the nearest of them.
Aggregate: TypeAlias = Literal["mean", "max"]

#: ``exclusive``: the labels compete, at most one holds. ``multi-label``: each is decided on its own. ``vocabulary``:
#: they are there to be searched for and by, and nothing is decided about any image.
Mode: TypeAlias = Literal["exclusive", "multi-label", "vocabulary"]

#: Part of every version. Raise it when the same file would decide otherwise on the same vectors for a reason other than
#: rounding, so that tags of the old rule can be told apart. A new field does not raise it: files without it decide as
#: they did, and keep their versions.
SCORING_RULE = 1

#: What conditions call a taxonomy's abstention; no label may have this name.
ABSTENTION = "none of these"

#: Levels of labels, the top one included.
MAX_LEVELS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTranslation:
    """A label in another language. Its texts are used with models declared to support the language."""

    title: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    background: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """One possible answer. Title, description, aliases and translated words do not affect scores."""

    name: str
    prompts: tuple[str, ...] = ()  # may be empty where there are children, or where only decisions teach the label
    title: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()  # with ``multi-label``: prompts for what this label is not; ``not`` in files
    children: tuple[Label, ...] = ()  # kinds of this; they compete among themselves wherever this label holds
    background: tuple[str, ...] = ()  # with children: prompts for kinds of this that are none of them
    translations: Mapping[str, LabelTranslation] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """When an answer is good enough. Probabilities of two models do not mean the same, hence one per model."""

    threshold: float = 0.5  # least probability of a tag
    margin: float = 0.0  # least lead over the runner-up, in probability
    temperature: float = 1.0  # divides the model's logit scale; above 1 is more cautious
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)  # label → its own threshold

    def threshold_of(self, label: str) -> float:
        """The label's own threshold if it has one, else the general one."""
        return self.thresholds.get(label, self.threshold)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """How to address a model."""

    templates: tuple[str, ...] = ()  # empty: those of the taxonomy
    languages: tuple[str, ...] = ()  # whose translated texts are used beside the others


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """A taxonomy in another language."""

    title: str = ""
    description: str = ""
    templates: tuple[str, ...] = ("{}",)  # for the prompts of this language
    background: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """Another taxonomy's answer must be one of these; None stands for its abstention."""

    taxonomy: str
    labels: tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """A question. ``None of these`` is always a possible answer."""

    name: str
    labels: tuple[Label, ...]  # in the order of the file, for display; scores do not depend on it
    title: str = ""
    description: str = ""
    mode: Mode = "exclusive"
    when: tuple[tuple[Requirement, ...], ...] = ()  # one of these, each of which is all of its parts; empty: always
    templates: tuple[str, ...] = ("{}",)
    aggregate: Aggregate = "mean"
    background: tuple[str, ...] = ()  # prompts for pictures none of the labels fit
    calibration: Calibration = Calibration()
    models: Mapping[str, Calibration] = field(default_factory=dict, hash=False)
    wordings: Mapping[str, Wording] = field(default_factory=dict, hash=False)  # by model
    translations: Mapping[str, Translation] = field(default_factory=dict, hash=False)
    target_precision: float | None = None  # labels that are not proven to reach it are only suggested
    learned: Mapping[str, Learned] = field(default_factory=dict, hash=False)  # number of a space → from reviews there
    neutral: str = ""  # edition of the neutral prompts it is judged by without calibration; empty: older releases' rule
    unknown: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, hash=False
    )  # model → labels it never recognises

    @property
    def decides(self) -> bool:
        """Whether images are tagged by it."""
        return self.mode != "vocabulary"

    @property
    def many(self) -> bool:
        """Whether one image can have several of its labels, so that its tags are a list."""
        return self.mode == "multi-label" or any(label.children for label in self.labels)

    def walk(self) -> Iterator[tuple[Label, Label | None]]:
        """Every label with its parent, parents first, in the order of the file."""
        return _walk(self.labels, None)

    def calibration_for(self, model: str, space: int | None = None) -> Calibration:
        """The calibration to use with a model: its own if the taxonomy has one, else the general one.

        In a space with thresholds from reviews, these replace the others.
        """
        own, learned = self.models.get(model, self.calibration), self.learned_in(space)
        if learned is None or not learned.thresholds:
            return own
        return replace(own, thresholds={**own.thresholds, **learned.thresholds})

    def learned_in(self, space: int | None) -> Learned | None:
        """What reviews taught in a space."""
        return self.learned.get(str(space))

    def head(self, space: int | None) -> Head | None:
        """The head that was learned in a space."""
        own = self.learned_in(space)
        return own.head if own else None

    def suggested(self, space: int | None) -> frozenset[str]:
        """The labels that are not applied in a space, because neither they nor their parents are proven enough."""
        if self.target_precision is None:
            return frozenset()
        own = self.learned_in(space)
        proven = own.proven(self.target_precision) if own else frozenset()
        found: set[str] = set()
        for label, parent in self.walk():  # parents first
            if label.name not in proven or (parent is not None and parent.name in found):
                found.add(label.name)
        return frozenset(found)

    def unlearned(self, space: int | None) -> frozenset[str]:
        """The labels that have no prompts and that no head knows in a space: images are not compared with them."""
        head = self.head(space)
        known = head.rows if head else {}
        return frozenset(
            label.name for label in self.labels if not (label.prompts or label.children or label.name in known)
        )

    def is_calibrated_for(self, model: str) -> bool:
        """Whether the taxonomy is calibrated for this model."""
        return model in self.models

    def is_relative_for(self, model: str) -> bool:
        """Whether labels are judged relative to neutral prompts, because there are no numbers for this model."""
        return self.decides and self.neutral != "" and not self.is_calibrated_for(model)

    def neutral_texts(self, model: str | None = None) -> tuple[tuple[str, ...], ...]:
        """For each neutral prompt, its texts; sorted. None if it is not judged by them with this model."""
        needed = self.decides and self.neutral if model is None else self.is_relative_for(model)
        return tuple(tuple(sorted(self.texts(each, model))) for each in neutral.PROMPTS) if needed else ()

    def texts(self, prompt: str, model: str | None = None, language: str | None = None) -> tuple[str, ...]:
        """The prompt in each template, every text once.

        Args:
            prompt: as written in the file.
            model: whose templates to use; None: the taxonomy's.
            language: of the prompt; None: the one the file is written in.
        """
        return _unique(template.replace("{}", prompt) for template in self._templates(model, language))

    def label_texts(self, label: Label, model: str | None = None) -> tuple[str, ...]:
        """Every prompt of the label in every template, every text once, so that repetition carries no weight.

        Sorted: sums of floats depend on order, and tags must not depend on how a file is arranged.
        """
        prompts: list[tuple[str | None, str]] = [(None, prompt) for prompt in label.prompts]
        prompts += [(language, prompt) for language, own in self._spoken(label, model) for prompt in own.prompts]
        return tuple(sorted({text for language, prompt in prompts for text in self.texts(prompt, model, language)}))

    def negative_texts(self, label: Label, model: str | None = None) -> tuple[tuple[str, ...], ...]:
        """For each prompt of what the label is not, its texts; sorted."""
        translated = [(language, own.negatives) for language, own in self._spoken(label, model)]
        return self._by_prompt([(None, label.negatives), *translated], model)

    def background_texts(self, label: Label | None = None, model: str | None = None) -> tuple[tuple[str, ...], ...]:
        """For each background prompt, of the taxonomy or of a label's children, its texts; sorted."""
        if label is not None:
            translated = [(language, own.background) for language, own in self._spoken(label, model)]
            return self._by_prompt([(None, label.background), *translated], model)
        spoken = [(language, self.translations[language].background) for language in self._known(model)]
        return self._by_prompt([(None, self.background), *spoken], model)

    @cached_property
    def version(self) -> str:
        """16 hex digits of a hash over everything that affects scores and nothing that does not.

        Titles, descriptions, aliases, comments, order, spacing and repetition leave it as it is; so do translations
        that no model is said to know, and which labels a model does not recognise.
        """
        spoken = {language for wording in self.wordings.values() for language in wording.languages}
        canonical = json.dumps(self._score_affecting(spoken), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def scoring(self, model: str, space: int | None = None) -> str:
        """16 hex digits of a hash over everything that probabilities depend on with one model, and no threshold.

        What reviews proved about one scoring says nothing about another.

        Args:
            model: whose numbers, templates and languages count; those of others do not.
            space: whose head counts; None: no head.
        """
        own, head, relative = self.calibration_for(model), self.head(space), self.is_relative_for(model)
        covered = self._score_affecting(set(self._languages(model))) | {
            "calibration": [float(own.margin), float(own.temperature)],
            "models": relative,
            "neutral": self.neutral if relative else "",
            "templates": sorted(set(self._templates(model, None))),
            "wordings": None,
            "target": None,
            "learned": head.digest if head else "",
        }
        canonical = json.dumps(covered, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def carrying(self, before: Taxonomy) -> Taxonomy:
        """With what reviews taught about the version before, as far as that scores images as this one does."""
        kept = {
            space: own for space, own in before.learned.items() if self.scoring(own.model) == before.scoring(own.model)
        }
        return replace(self, learned=kept) if kept else self

    def _templates(self, model: str | None, language: str | None) -> tuple[str, ...]:
        if language is not None:
            return self.translations[language].templates if language in self.translations else ("{}",)
        own = self.wordings.get(model) if model is not None else None
        return own.templates if own is not None and own.templates else self.templates

    def _languages(self, model: str | None) -> tuple[str, ...]:
        wording = self.wordings.get(model) if model is not None else None
        return wording.languages if wording is not None else ()

    def _known(self, model: str | None) -> Iterator[str]:
        return (language for language in self._languages(model) if language in self.translations)

    def _spoken(self, label: Label, model: str | None) -> Iterator[tuple[str, LabelTranslation]]:
        for language in self._languages(model):
            if language in label.translations:
                yield language, label.translations[language]

    def _by_prompt(
        self, prompts: Iterable[tuple[str | None, tuple[str, ...]]], model: str | None
    ) -> tuple[tuple[str, ...], ...]:
        pairs = sorted({(prompt, language or "") for language, some in prompts for prompt in some})
        return _unique(tuple(sorted(self.texts(prompt, model, language or None))) for prompt, language in pairs)

    # -- what the version covers ---------------------------------------------------------------------------------------

    def _score_affecting(self, spoken: Collection[str]) -> dict[str, Any]:
        """What scores depend on, if the texts of these languages are used beside the others."""
        always = {
            "rule": SCORING_RULE,
            "labels": {label.name: _meaning(label, spoken) for label in self.labels},
            "templates": sorted(set(self.templates)),
            "aggregate": self.aggregate,
            "background": sorted(set(self.background)),
            "calibration": _numbers(self.calibration),
            # An entry that repeats the general calibration decides nothing differently.
            # But where uncalibrated models are judged by neutral prompts, having one at all decides.
            "models": {
                model: _numbers(own) for model, own in self.models.items() if self.neutral or own != self.calibration
            },
        }
        # What is left out where a file does not use it leaves the versions of older files as they were.
        return always | _given(
            mode=self.mode if self.mode != "exclusive" else None,
            when=_condition(self.when),
            neutral=self.neutral,
            target=self.target_precision,
            learned=_given(
                **{space: own.score_affecting(self.target_precision) for space, own in self.learned.items()}
            ),
            wordings={model: _words(own) for model, own in self.wordings.items() if own != Wording()},
            translations={
                language: [sorted(set(own.templates)), sorted(set(own.background))]
                for language, own in self.translations.items()
                if language in spoken and own != Translation(title=own.title, description=own.description)
            },
        )


def _walk(labels: Iterable[Label], parent: Label | None) -> Iterator[tuple[Label, Label | None]]:
    for label in labels:
        yield label, parent
        yield from _walk(label.children, label)


def _meaning(label: Label, spoken: Collection[str]) -> Any:
    prompts = sorted(set(label.prompts))
    rest = _given(
        negatives=sorted(set(label.negatives)),
        background=sorted(set(label.background)),
        children={child.name: _meaning(child, spoken) for child in label.children},
        translations={
            language: texts
            for language, own in label.translations.items()
            if language in spoken
            and any(texts := [sorted(set(t)) for t in (own.prompts, own.negatives, own.background)])
        },
    )
    return {"prompts": prompts, **rest} if rest else prompts


def _condition(when: tuple[tuple[Requirement, ...], ...]) -> list[Any]:
    alternatives = ({part.taxonomy: sorted({label or "" for label in part.labels}) for part in each} for each in when)
    return sorted(alternatives, key=lambda alternative: json.dumps(alternative, sort_keys=True))


def _words(wording: Wording) -> list[list[str]]:
    return [sorted(set(wording.templates)), sorted(set(wording.languages))]


def _numbers(calibration: Calibration) -> list[Any]:
    # 1 and 1.0 are equal numbers but unequal JSON.
    general = [float(number) for number in (calibration.threshold, calibration.margin, calibration.temperature)]
    own = {label: float(number) for label, number in calibration.thresholds.items()}
    return [*general, own] if own else list(general)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
