"""Titles, aliases and translations of labels, for search and display."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def normalised(name: str) -> str:
    """The form in which two labels must differ: ``Blank Page``, ``blank_page`` and ``blank-page`` are the same."""
    return re.sub(r"[\s_-]+", "-", unicodedata.normalize("NFKC", name).casefold().strip())


def resolve(definitions: Sequence[Mapping[str, Any]], word: str) -> str:
    """The label that a word refers to: its name, else its title or an alias in any language. Case does not matter.

    Args:
        definitions: of one taxonomy, as the catalog keeps them, the one to prefer first.
        word: what was written.

    Returns:
        The label's name; the word itself if no label, or more than one in a definition, matches.
    """
    labels = [list(_labels(definition.get("labels", ()))) for definition in definitions]
    if any(label["name"] == word for each in labels for label in each):
        return word
    wanted = normalised(word)
    for each in labels:
        matches = {label["name"] for label in each if wanted in {normalised(name) for name in _names(label)}}
        if len(matches) == 1:
            return str(matches.pop())
    return word


def names(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each label with each of its names: its own, its title and its aliases, in every language.

    Args:
        definition: of a taxonomy, as the catalog keeps it.
    """
    for label in _labels(definition.get("labels", ())):
        for name in _names(label):
            yield label["name"], name


def titles(definition: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Label → its title (the name if it has none) and its description.

    Args:
        definition: of a taxonomy, as the catalog keeps it.
    """
    return {
        label["name"]: (label.get("title") or label["name"], label.get("description", ""))
        for label in _labels(definition.get("labels", ()))
    }


def entitled(label: str, title: str) -> str:
    """A label for display: its name, which filters accept, and its title if that says more."""
    return label if not title or normalised(title) == normalised(label) else f"{label} ({title})"


def _labels(labels: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for label in labels:
        yield label
        yield from _labels(label.get("children", ()))


def _names(label: Mapping[str, Any]) -> Iterator[str]:
    for own in (label, *label.get("translations", {}).values()):
        yield from filter(None, (own.get("name", ""), own.get("title", ""), *own.get("aliases", ())))
