"""Taxonomies of every kind, drawn by hypothesis: as documents, and as values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from worker.tagging import Taxonomy
from worker.tagging.building import build


class _Names:
    """Names and prompts of which no two are equal."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._next}"

    def several(self, kind: str, count: int) -> list[str]:
        return [self(kind) for _ in range(count)]


_numbers = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.7, 1.0])


@st.composite
def documents(draw: st.DrawFn, name: str = "any", others: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A valid document that uses any of the language; its condition names some of ``others``."""
    names = _Names()
    by_itself: bool = draw(st.booleans())
    document: dict[str, Any] = {
        "name": name,
        "mode": "multi-label" if by_itself else "exclusive",
        "labels": dict(draw(_label(names, 1, by_itself)) for _ in range(draw(st.integers(2, 4)))),
        "aggregate": draw(st.sampled_from(["mean", "max"])),
        "threshold": draw(_numbers),
        "margin": draw(st.sampled_from([0.0, 0.1, 0.5])),
    }
    if by_itself or draw(st.booleans()):
        document["background"] = names.several("nothing ", draw(st.integers(1, 2)))
    if draw(st.booleans()):
        document["templates"] = ["{}", "a photo of {}"]
    if draw(st.booleans()):
        document["models"] = {"any": draw(_settings())}
        document["translations"] = {"de": {"title": "Titel", "templates": ["ein {}"]}}
    conditional: bool = draw(st.booleans())
    if others and conditional:
        other: dict[str, Any] = draw(st.sampled_from(others))
        document["when"] = {other["name"]: draw(st.sampled_from(["none of these", *labels_of(other)]))}
    return document


@st.composite
def _label(draw: st.DrawFn, names: _Names, level: int, by_itself: bool) -> tuple[str, Any]:
    name, prompts = names("label "), names.several("prompt ", draw(st.integers(1, 2)))
    if draw(st.booleans()):
        return name, prompts
    fields: dict[str, Any] = {"prompts": prompts}
    if level == 1 and by_itself and draw(st.booleans()):
        fields["not"] = names.several("not ", 1)
    if draw(st.booleans()):
        fields["threshold"] = draw(_numbers)
    if draw(st.booleans()):
        fields["translations"] = {"de": {"title": names("Titel "), "prompts": names.several("Text ", 1)}}
    if level < 3 and draw(st.booleans()):
        fields["children"] = dict(draw(_label(names, level + 1, by_itself)) for _ in range(draw(st.integers(1, 3))))
        if len(fields["children"]) == 1 or draw(st.booleans()):
            fields["background"] = names.several("other ", 1)
        if draw(st.booleans()):
            del fields["prompts"]
    return name, fields


@st.composite
def _settings(draw: st.DrawFn) -> dict[str, Any]:
    options: dict[str, Any] = {
        "threshold": draw(_numbers),
        "temperature": draw(st.sampled_from([0.5, 2.0])),
        "templates": ["{}."],
        "languages": ["de"],
    }
    kept = draw(st.sets(st.sampled_from(sorted(options)), min_size=1))
    return {key: options[key] for key in kept}


def labels_of(document: dict[str, Any]) -> list[str]:
    """The names of all levels."""
    return list(_names_in(document["labels"]))


def _names_in(labels: dict[str, Any]) -> Iterator[str]:
    for name, label in labels.items():
        yield name
        if isinstance(label, dict):
            yield from _names_in(label.get("children", {}))


@st.composite
def sets_of_taxonomies(draw: st.DrawFn) -> tuple[Taxonomy, ...]:
    """One to three, of which later ones may depend on earlier ones, in any order."""
    drawn: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        drawn.append(draw(documents(name=f"taxonomy-{number}", others=tuple(drawn))))
    return tuple(draw(st.permutations([build(each) for each in drawn])))
