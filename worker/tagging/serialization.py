"""Converts taxonomies to stored data and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from worker.errors import TaxonomyError
from worker.tagging import neutral
from worker.tagging.learned import Head, Learned, Proof
from worker.tagging.taxonomy import (
    Calibration,
    Label,
    LabelTranslation,
    Requirement,
    Taxonomy,
    Translation,
    Wording,
)


def definition(taxonomy: Taxonomy) -> dict[str, Any]:
    """A whole taxonomy as JSON data; ``restore`` reverses this."""
    return asdict(taxonomy)


def restore(definition: Mapping[str, Any], *, version: str) -> Taxonomy:
    """What ``definition`` returned → the taxonomy.

    Args:
        definition: also after a stay in the database, which makes lists of tuples and sorts keys.
        version: that it had when it was kept.

    Raises:
        TaxonomyError: it is another version now: it uses what this release does not know, or decides otherwise.
    """
    try:
        taxonomy = _taxonomy(definition)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(definition, version) from error
    if taxonomy.version != version or taxonomy.neutral not in ("", neutral.EDITION):
        raise _unreadable(definition, version)
    return taxonomy


def _unreadable(definition: Mapping[str, Any], version: str) -> TaxonomyError:
    return TaxonomyError(
        f"version {version} of taxonomy {definition.get('name')!r} was stored by another release, and this one would "
        "decide otherwise: run the release that applied it, or give its file to `enrich taxonomy add` of this one"
    )


def _taxonomy(value: Mapping[str, Any]) -> Taxonomy:
    return Taxonomy(
        name=value["name"],
        labels=tuple(_label(label) for label in value["labels"]),
        title=value.get("title", ""),
        description=value.get("description", ""),
        mode=value.get("mode", "exclusive"),
        when=tuple(tuple(_requirement(part) for part in each) for each in value.get("when", ())),
        templates=tuple(value.get("templates", ("{}",))),
        aggregate=value.get("aggregate", "mean"),
        background=tuple(value.get("background", ())),
        calibration=_calibration(value.get("calibration", {})),
        models={model: _calibration(own) for model, own in value.get("models", {}).items()},
        wordings={model: Wording(**_tuples(own)) for model, own in value.get("wordings", {}).items()},
        translations={language: Translation(**_tuples(own)) for language, own in value.get("translations", {}).items()},
        target_precision=value.get("target_precision"),
        learned={space: _learned(own) for space, own in value.get("learned", {}).items()},
        neutral=value.get("neutral", ""),
        unknown={model: tuple(labels) for model, labels in value.get("unknown", {}).items()},
    )


def _label(value: Mapping[str, Any]) -> Label:
    plain = _tuples({key: own for key, own in value.items() if key not in ("children", "translations")})
    return Label(
        **plain,
        children=tuple(_label(child) for child in value.get("children", ())),
        translations={
            language: LabelTranslation(**_tuples(own)) for language, own in value.get("translations", {}).items()
        },
    )


def _requirement(value: Mapping[str, Any]) -> Requirement:
    return Requirement(taxonomy=value["taxonomy"], labels=tuple(value["labels"]))


def _calibration(value: Mapping[str, Any]) -> Calibration:
    numbers = {key: float(own) for key, own in value.items() if key != "thresholds"}
    return Calibration(**numbers, thresholds={label: float(own) for label, own in value.get("thresholds", {}).items()})


def _learned(value: Mapping[str, Any]) -> Learned:
    head = value.get("head")
    return Learned(
        model=value["model"],
        thresholds={label: float(own) for label, own in value["thresholds"].items()},
        proofs={label: Proof(**own) for label, own in value["proofs"].items()},
        head=Head(**head) if head else None,
    )


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(own) if isinstance(own, list) else own for key, own in value.items()}
