"""Builds a taxonomy from a valid document."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from worker.tagging import neutral
from worker.tagging.content import CALIBRATION
from worker.tagging.taxonomy import (
    ABSTENTION,
    Calibration,
    Label,
    LabelTranslation,
    Requirement,
    Taxonomy,
    Translation,
    Wording,
)

_WORDING = ("templates", "languages")


def build(value: Mapping[str, Any], words: Sequence[str] = ()) -> Taxonomy:
    """A document in which ``validation.problems`` found nothing, and the words of its vocabulary → the taxonomy."""
    if "vocabulary" in value:
        return _vocabulary(value, words)
    general = _calibration(value, Calibration(thresholds=dict(_label_thresholds(value["labels"]))))
    models = value.get("models", {})
    return Taxonomy(
        name=value["name"],
        title=_text(value.get("title", value["name"])),
        description=_text(value.get("description", "")),
        mode=value.get("mode", "exclusive"),
        when=_condition(value.get("when", [])),
        labels=_labels(value["labels"]),
        templates=_texts(value.get("templates", ("{}",))),
        aggregate=value.get("aggregate", "mean"),
        background=_texts(value.get("background", ())),
        calibration=general,
        models={model: _calibration(own, general) for model, own in models.items() if _has(own, CALIBRATION)},
        wordings={model: _wording(own) for model, own in models.items() if _has(own, _WORDING)},
        translations={language: _translation(own) for language, own in value.get("translations", {}).items()},
        target_precision=float(value["target_precision"]) if "target_precision" in value else None,
        neutral=neutral.EDITION,
        unknown={model: tuple(map(_name, own["unknown"])) for model, own in models.items() if "unknown" in own},
    )


def _vocabulary(value: Mapping[str, Any], words: Sequence[str]) -> Taxonomy:
    models = value.get("models", {})
    return Taxonomy(
        name=value["name"],
        title=_text(value.get("title", value["name"])),
        description=_text(value.get("description", "")),
        mode="vocabulary",
        labels=tuple(Label(name=_name(word), prompts=(_text(word),)) for word in words),
        templates=_texts(value.get("templates", ("{}",))),
        aggregate=value.get("aggregate", "mean"),
        wordings={model: _wording(own) for model, own in models.items() if _has(own, _WORDING)},
    )


def _labels(value: Mapping[str, Any]) -> tuple[Label, ...]:
    return tuple(_label(name, label) for name, label in value.items())


def _label(name: str, value: list[str] | dict[str, Any]) -> Label:
    fields: dict[str, Any] = {"prompts": value} if isinstance(value, list) else value
    return Label(
        name=_name(name),
        title=_text(fields.get("title", name)),
        description=_text(fields.get("description", "")),
        aliases=_texts(fields.get("aliases", ())),
        prompts=_texts(fields.get("prompts", ())),
        negatives=_texts(fields.get("not", ())),
        background=_texts(fields.get("background", ())),
        children=_labels(fields.get("children", {})),
        translations={language: _label_translation(own) for language, own in fields.get("translations", {}).items()},
    )


def _label_translation(value: Mapping[str, Any]) -> LabelTranslation:
    return LabelTranslation(
        title=_text(value.get("title", "")),
        description=_text(value.get("description", "")),
        aliases=_texts(value.get("aliases", ())),
        prompts=_texts(value.get("prompts", ())),
        negatives=_texts(value.get("not", ())),
        background=_texts(value.get("background", ())),
    )


def _translation(value: Mapping[str, Any]) -> Translation:
    return Translation(
        title=_text(value.get("title", "")),
        description=_text(value.get("description", "")),
        templates=_texts(value.get("templates", ("{}",))),
        background=_texts(value.get("background", ())),
    )


def _calibration(value: Mapping[str, Any], default: Calibration) -> Calibration:
    own = {_name(label): float(number) for label, number in value.get("thresholds", {}).items()}
    return Calibration(
        threshold=float(value.get("threshold", default.threshold)),
        margin=float(value.get("margin", default.margin)),
        temperature=float(value.get("temperature", default.temperature)),
        thresholds={**default.thresholds, **own},
    )


def _label_thresholds(labels: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, label in labels.items():
        if isinstance(label, dict):
            if "threshold" in label:
                yield _name(name), float(label["threshold"])
            yield from _label_thresholds(label.get("children", {}))


def _wording(value: Mapping[str, Any]) -> Wording:
    return Wording(templates=_texts(value.get("templates", ())), languages=tuple(value.get("languages", ())))


def _condition(value: Any) -> tuple[tuple[Requirement, ...], ...]:
    alternatives = value if isinstance(value, list) else [value]
    return tuple(
        tuple(Requirement(taxonomy=taxonomy, labels=_wanted(labels)) for taxonomy, labels in alternative.items())
        for alternative in alternatives
    )


def _wanted(labels: str | list[str]) -> tuple[str | None, ...]:
    names = [labels] if isinstance(labels, str) else labels
    return tuple(None if name == ABSTENTION else _name(name) for name in names)


def _has(value: Mapping[str, Any], fields: Iterable[str]) -> bool:
    return any(field in value for field in fields)


def _name(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values)


def _text(value: str) -> str:
    """Normalise spacing and composition, which depend on the editor: neither may affect the model or the version."""
    return unicodedata.normalize("NFC", " ".join(value.split()))
