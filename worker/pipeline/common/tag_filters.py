"""Tag filters: resolves taxonomies and labels as people write them to names in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from worker import catalog, label_names
from worker.catalog.image_filter import TagFilter
from worker.db import Connection, Engine, transaction
from worker.errors import ChoiceError
from worker.suggestions import shown, suggested


class UnknownNameError(ChoiceError):
    """The catalog has never heard of a taxonomy or label: no version that it keeps has it, and no tag of any space,
    model, revision or person.
    """


def resolve_label(connection: Connection, tags: Sequence[TagFilter]) -> list[TagFilter]:
    """Resolve labels given by title or alias, according to the newest versions in the catalog.

    Raises:
        UnknownNameError: nothing is or was called so. The message names the nearest that is.
    """
    if not tags:
        return []
    kept = catalog.taxonomies.kept(connection, sorted({each.taxonomy for each in tags}))
    by_name = {name: [each.definition for each in own] for name, own in groupby(kept, key=lambda each: each.name)}
    return [_meant(connection, tag, by_name.get(tag.taxonomy, [])) for tag in tags]


def _meant(connection: Connection, tag: TagFilter, definitions: Sequence[Mapping[str, Any]]) -> TagFilter:
    name = label_names.resolve(definitions, tag.label)
    if any(name in label_names.titles(each) for each in definitions) or catalog.taxonomies.is_tagged(
        connection, tag.taxonomy, name
    ):
        return replace(tag, label=name)
    if not definitions:
        require_taxonomies(connection, [tag.taxonomy])
    labels = {label for each in definitions for label in label_names.titles(each)}
    labels.update(catalog.taxonomies.tagged_labels(connection, tag.taxonomy))
    otherwise = f"`enrich taxonomy show {tag.taxonomy}` has them"
    raise UnknownNameError(
        f"taxonomy {tag.taxonomy} has no label {shown(tag.label)}; {suggested(tag.label, labels, otherwise=otherwise)}"
    )


def require_taxonomies(connection: Connection, names: Iterable[str]) -> None:
    """Check that taxonomies are known.

    Raises:
        UnknownNameError: nothing is or was called so. The message names the nearest that is.
    """
    for name in names:
        if not (catalog.taxonomies.kept(connection, [name]) or catalog.taxonomies.has_tags_of(connection, name)):
            known = catalog.taxonomies.names(connection)
            there = f"there are {', '.join(known)}" if known else "no worker has put any into force yet"
            raise UnknownNameError(f"there is no taxonomy {shown(name)}; {suggested(name, known, otherwise=there)}")


def titles(engine: Engine, taxonomies: Iterable[str]) -> Mapping[tuple[str, str], str]:
    """(taxonomy, label) → the label's title: from the version in force, else from the newest version that has it."""
    with transaction(engine) as connection:
        kept = catalog.taxonomies.kept(connection, sorted(set(taxonomies)))
    found: dict[tuple[str, str], str] = {}
    for each in kept:
        for label, (title, _) in label_names.titles(each.definition).items():
            found.setdefault((each.name, label), title)
    return found
