"""What a review is about: a taxonomy in force, usually one of its labels, in the active space."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from worker import catalog, label_names, tagging
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError, NotFoundError
from worker.pipeline.common.tag_filters import UnknownNameError, require_taxonomies
from worker.suggestions import shown, suggested
from worker.tagging import Tagger, Taxonomy

#: Gives a tagger for the model of a space.
Build: TypeAlias = Callable[[Space, Sequence[Taxonomy]], Tagger]

_MOST_TAGGERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is asked."""

    space: Space
    taxonomy: Taxonomy
    label: str | None  # None: any
    parent: str | None  # of the label

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Label → least probability, with the space's model."""
        calibration = self.taxonomy.calibration_for(self.space.model, self.space.id)
        return {label.name: calibration.threshold_of(label.name) for label, _ in self.taxonomy.walk()}

    @property
    def scoring(self) -> str:
        """What probabilities depend on."""
        return self.taxonomy.scoring(self.space.model, self.space.id)

    @property
    def one_by_one(self) -> bool:
        """Whether each label is a question of its own."""
        return self.taxonomy.mode == "multi-label"


def subject(connection: Connection, taxonomy: str, label: str | None) -> Subject:
    """Look up what is asked about.

    Raises:
        NotFoundError: nothing was embedded yet.
        UnknownNameError: there is no such taxonomy or label.
        ChoiceError: no image is tagged by the taxonomy now.
    """
    space = catalog.spaces.active(connection)
    if space is None:
        raise NotFoundError("no image was embedded yet: there is nothing to review")
    restored = _in_force(connection, taxonomy)
    parents = {each.name: parent for each, parent in restored.walk()}
    name = None if label is None else label_names.resolve([tagging.definition(restored)], label)
    if name is not None and name not in parents:
        otherwise = f"its labels are {', '.join(list(parents)[:20])}"
        raise UnknownNameError(
            f"taxonomy {taxonomy} has no label {shown(name)}; {suggested(name, parents, otherwise=otherwise)}"
        )
    above = parents[name] if name is not None else None
    return Subject(space=space, taxonomy=restored, label=name, parent=None if above is None else above.name)


def scorings(connection: Connection, space: Space, taxonomies: Collection[str]) -> dict[str, tuple[str, str]]:
    """Version and scoring of those of the taxonomies that are in force."""
    kept = [each for each in catalog.taxonomies.kept(connection, list(taxonomies)) if each.in_force]
    restored = [tagging.restore(each.definition, version=each.version) for each in kept]
    return {each.name: (each.version, each.scoring(space.model, space.id)) for each in restored}


def labels_of(engine: Engine, taxonomy: str) -> list[tuple[str, str]]:
    """The labels of a taxonomy in force, in its order: each with its name as people are shown it.

    Raises:
        UnknownNameError: there is no such taxonomy.
        ChoiceError: no image is tagged by the taxonomy now.
    """
    with snapshot(engine) as connection:
        found = _in_force(connection, taxonomy)
    return [(each.name, label_names.entitled(each.name, each.title)) for each, _ in found.walk()]


def _in_force(connection: Connection, name: str) -> Taxonomy:
    kept = next(iter(catalog.taxonomies.kept(connection, [name])), None)
    if kept is None:
        require_taxonomies(connection, [name])
    if kept is None or not kept.in_force:
        raise ChoiceError(f"no image is tagged by {name} now: put it into force with `enrich taxonomy apply`")
    if kept.definition.get("mode") == "vocabulary":
        raise ChoiceError(f"{name} is a vocabulary: it has words to search for, and no image is tagged by it")
    return tagging.restore(kept.definition, version=kept.version)


class Taggers:
    """Taggers of one taxonomy each, kept between requests. Threads may share it."""

    def __init__(self, build: Build) -> None:
        """Build none yet."""
        self._build, self._mutex = build, threading.Lock()
        self._kept: dict[tuple[int, str, str], Tagger] = {}

    def of(self, subject: Subject) -> Tagger:
        """The tagger of a subject's taxonomy alone; its condition is met by the images that it is asked about."""
        key = (subject.space.id, subject.taxonomy.name, subject.taxonomy.version)
        with self._mutex:
            found = self._kept.pop(key, None) or self._build(subject.space, [replace(subject.taxonomy, when=())])
            self._kept[key] = found  # the last one used is the last one
            for old in list(self._kept)[:-_MOST_TAGGERS]:
                del self._kept[old]
            return found
