"""A taxonomy as the document of a file. ``building.build`` reverses this, except for what reviews taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.tagging.taxonomy import (
    ABSTENTION,
    Calibration,
    Label,
    LabelTranslation,
    Requirement,
    Taxonomy,
    Translation,
)

_AS_WRITTEN = ("{}",)


def document(taxonomy: Taxonomy) -> dict[str, Any] | None:
    """What a file would say, with defaults left out; None for a vocabulary, whose words are in a file of their own."""
    if not taxonomy.decides:
        return None
    general = taxonomy.calibration
    return _given(
        name=taxonomy.name,
        title=taxonomy.title if taxonomy.title != taxonomy.name else None,
        description=taxonomy.description,
        mode=taxonomy.mode if taxonomy.mode != "exclusive" else None,
        when=_condition(taxonomy.when),
        templates=list(taxonomy.templates) if taxonomy.templates != _AS_WRITTEN else None,
        aggregate=taxonomy.aggregate if taxonomy.aggregate != "mean" else None,
        target_precision=taxonomy.target_precision,
        background=list(taxonomy.background),
        labels={label.name: _label(label, general.thresholds) for label in taxonomy.labels},
        models=_models(taxonomy),
        translations={language: _translation(own) for language, own in taxonomy.translations.items()},
    ) | _numbers(general, Calibration())


def _label(label: Label, thresholds: Mapping[str, float]) -> Any:
    fields = _given(
        title=label.title if label.title != label.name else None,
        description=label.description,
        aliases=list(label.aliases),
        prompts=list(label.prompts),
        learned=True if not (label.prompts or label.children) else None,
        background=list(label.background),
        children={child.name: _label(child, thresholds) for child in label.children},
        translations={language: _label_translation(own) for language, own in label.translations.items()},
    )
    if label.negatives:
        fields["not"] = list(label.negatives)
    if label.name in thresholds:
        fields["threshold"] = thresholds[label.name]
    return fields["prompts"] if set(fields) == {"prompts"} else fields


def _models(taxonomy: Taxonomy) -> dict[str, Any]:
    general = taxonomy.calibration
    names = dict.fromkeys([*taxonomy.models, *taxonomy.wordings, *taxonomy.unknown])
    found: dict[str, Any] = {}
    for name in names:
        own: dict[str, Any] = {}
        if (numbers := taxonomy.models.get(name)) is not None:
            # One number at least says that it is calibrated for this model.
            own = _numbers(numbers, general) or {"threshold": numbers.threshold}
            others = {
                label: number for label, number in numbers.thresholds.items() if general.thresholds.get(label) != number
            }
            own |= _given(thresholds=others)
        if (wording := taxonomy.wordings.get(name)) is not None:
            own |= _given(templates=list(wording.templates), languages=list(wording.languages))
        own |= _given(unknown=list(taxonomy.unknown.get(name, ())))
        found[name] = own
    return {name: own for name, own in found.items() if own}


def _numbers(calibration: Calibration, default: Calibration) -> dict[str, float]:
    return {
        name: getattr(calibration, name)
        for name in ("threshold", "margin", "temperature")
        if getattr(calibration, name) != getattr(default, name)
    }


def _condition(when: Sequence[Sequence[Requirement]]) -> Any:
    alternatives = [{part.taxonomy: _wanted(part.labels) for part in each} for each in when]
    return alternatives[0] if len(alternatives) == 1 else alternatives


def _wanted(labels: Sequence[str | None]) -> Any:
    names = [ABSTENTION if label is None else label for label in labels]
    return names[0] if len(names) == 1 else names


def _translation(own: Translation) -> dict[str, Any]:
    templates = list(own.templates) if own.templates != _AS_WRITTEN else None
    return _given(title=own.title, description=own.description, templates=templates, background=list(own.background))


def _label_translation(own: LabelTranslation) -> dict[str, Any]:
    found = _given(
        title=own.title,
        description=own.description,
        aliases=list(own.aliases),
        prompts=list(own.prompts),
        background=list(own.background),
    )
    return found | ({"not": list(own.negatives)} if own.negatives else {})


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
