"""Taxonomies as a reviewer answers them: which labels there are, and what a label says about others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from worker import catalog, label_names
from worker.catalog.decisions import Verdict
from worker.db import Connection, Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError, require_taxonomies
from worker.suggestions import shown, suggested

#: The version of a taxonomy that only people use.
BY_HAND = "by hand"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One taxonomy."""

    name: str
    version: str
    definition: Mapping[str, Any]  # as the catalog keeps it
    by_people: frozenset[str] = frozenset()  # labels that no prompt describes
    open: bool = False  # whether labels that it does not have may be given

    @property
    def one_by_one(self) -> bool:
        """Whether a decision about a label says nothing about the others."""
        return self.definition.get("mode") == "multi-label"

    @cached_property
    def parents(self) -> Mapping[str, str | None]:
        """Label → the label above it."""
        return dict(_parents(self.definition.get("labels", ()), None))

    def label(self, word: str) -> str:
        """The label that a word refers to: its name, title or an alias.

        Raises:
            UnknownNameError: there is none; the message names the nearest.
        """
        name = label_names.resolve([self.definition], word)
        if name in self.parents or name in self.by_people or self.open:
            return name
        choices = [*self.parents, *sorted(self.by_people - self.parents.keys())]
        otherwise = f"its labels are {', '.join(choices[:20])}" if choices else "it has no labels"
        raise UnknownNameError(
            f"taxonomy {self.name} has no label {shown(word)}; {suggested(word, choices, otherwise=otherwise)}"
        )

    def has(self, labels: Iterable[str]) -> bool:
        """Whether it has all these labels."""
        return self.open or all(label in self.parents or label in self.by_people for label in labels)

    def above(self, label: str) -> tuple[str, ...]:
        """The label and those above it: they hold if it holds."""
        found, parent = [label], self.parents.get(label)
        while parent is not None:
            found.append(parent)
            parent = self.parents.get(parent)
        return tuple(found)

    def allows(self, label: str, other: str) -> bool:
        """Whether both labels can hold for one image."""
        return self.one_by_one or other in self.above(label) or label in self.above(other)

    def below(self, label: str) -> tuple[str, ...]:
        """The label and those below it: they do not hold if it does not."""
        return (label, *(each for each in self.parents if each != label and label in self.above(each)))

    def named(self, verdict: Verdict, word: str | None) -> str | None:
        """The label that a verdict is about; None: it is about none.

        Raises:
            ChoiceError: the verdict needs a label, or takes none.
            UnknownNameError: there is no such label.
        """
        if verdict is Verdict.UNDO:
            raise ChoiceError("an undo is not a decision about a label: undo by batch or by number")
        if word is None:
            if verdict in (Verdict.ACCEPT, Verdict.REJECT, Verdict.REPLACE):
                raise ChoiceError(f"{verdict} needs a label")
            return None
        if verdict is Verdict.NONE:
            raise ChoiceError(f"none means none of the labels of {self.name}: leave the label out, or reject it")
        return self.label(word)

    def effect(self, verdict: Verdict, label: str | None, shown_label: str | None) -> Effect:
        """What a verdict says about labels.

        Raises:
            ChoiceError: it does not say enough.
        """
        if verdict in (Verdict.ACCEPT, Verdict.REPLACE) and label is not None:
            adds = self.above(label)
            removes = self._replaced(shown_label) if verdict is Verdict.REPLACE else ()
            return Effect(adds=adds, removes=tuple(r for r in removes if r not in adds), answers=not self.one_by_one)
        if verdict is Verdict.REJECT and label is not None:
            return Effect(removes=self.below(label))
        return Effect(answers=verdict is Verdict.NONE or not self.one_by_one or label is None)

    def _replaced(self, shown_label: str | None) -> tuple[str, ...]:
        if shown_label is not None:
            return self.below(shown_label)
        if self.one_by_one:
            raise ChoiceError(f"{self.name} allows several labels: say which one is replaced (shown_label)")
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a decision says about labels; see migration 0024."""

    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    answers: bool = False


class LabelVerdict(Protocol):
    """A verdict on a label of a taxonomy."""

    @property
    def taxonomy(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def label(self) -> str | None: ...


class Questions:
    """The taxonomies that one call asks about, each looked up once."""

    def __init__(self, connection: Connection, *, new_labels: bool = False) -> None:
        self._connection = connection
        self._new_labels = new_labels
        self._versions = catalog.taxonomies.versions_in_use(connection)
        self._found: dict[str, Question] = {}

    def __getitem__(self, name: str) -> Question:
        """The taxonomy in use under a name.

        Raises:
            UnknownNameError: there is none.
            ChoiceError: it is a vocabulary, which decides nothing.
        """
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def _look_up(self, name: str) -> Question:
        version = self._versions.get(name)
        definition = catalog.taxonomies.definition(self._connection, name, version) if version else None
        if version is None or definition is None:
            if not self._new_labels:
                require_taxonomies(self._connection, [name])
            version, definition = BY_HAND, {}
        if definition.get("mode") == "vocabulary":
            raise ChoiceError(f"{name} is a vocabulary: it has words to search for, and no image is tagged by it")
        used = catalog.taxonomies.tagged_labels(self._connection, name)
        return Question(
            name=name, version=version, definition=definition, by_people=frozenset(used), open=self._new_labels
        )


def _parents(labels: Sequence[Mapping[str, Any]], parent: str | None) -> Collection[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for label in labels:
        found.append((label["name"], parent))
        found.extend(_parents(label.get("children", ()), label["name"]))
    return found


def refuse_rivals(engine: Engine, decisions: Sequence[LabelVerdict]) -> None:
    """Check that decisions about one image do not give two answers to a taxonomy that has one.

    Raises:
        ChoiceError: two labels that cannot both hold.
    """
    accepted: dict[str, str] = {}
    with transaction(engine) as connection:
        questions = Questions(connection, new_labels=True)  # what is unknown is refused when it is recorded
        for each in decisions:
            if each.verdict is Verdict.ACCEPT and each.label is not None:
                question = questions[each.taxonomy]
                label = question.label(each.label)
                other = accepted.setdefault(question.name, label)
                if not question.allows(label, other):
                    raise ChoiceError(
                        f"{question.name} has one answer, so {other} and {label} cannot both hold: give one of them"
                    )
