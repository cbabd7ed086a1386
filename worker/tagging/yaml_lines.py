"""Reads YAML as plain data with the line of every value, without any YAML feature beyond data.

PyYAML's ``safe_load`` keeps the last of two equal keys, expands aliases (a few bytes become gigabytes), reads ``no`` as
false and forgets where anything stood. Here each of these is a problem with a line, and all of a file's problems are
found in one reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

#: Where a value is in a document: keys and indices from the root.
Path: TypeAlias = tuple[str | int, ...]

#: Deeper than any taxonomy; shallow enough for Python's stack.
MAX_DEPTH = 20

#: Ten thousand labels with several prompts have fewer. More would be read for minutes.
MAX_NODES = 100_000

#: Larger numbers mean nothing here, and those of thousands of digits cannot even be printed.
_LARGEST = 1e15

#: Characters. Those in base sixty, such as 1:59:59, take PyYAML the square of their length: a minute for 1 MiB.
_LONGEST_NUMBER = 400

#: NUL and other controls but tab and line ends, and halves of surrogate pairs.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

_TAG = "tag:yaml.org,2002:"
_NULL, _TEXT, _INT, _FLOAT = _TAG + "null", _TAG + "str", _TAG + "int", _TAG + "float"
_SCALARS = {
    _NULL: "nothing",
    _TEXT: "text",
    _TAG + "bool": "a boolean",
    _INT: "a number",
    _FLOAT: "a number",
    _TAG + "timestamp": "a date",
    _TAG + "merge": "a merge key",
    _TAG + "value": "a default key",
}
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}


@dataclass(frozen=True, kw_only=True, slots=True)
class YamlProblem:
    """An error in a file."""

    line: int  # counted from 1
    path: Path
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file's content as dicts, lists, strings, numbers, booleans and None; every key is a string."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)  # of a map's entry, the line of its key
    problems: tuple[YamlProblem, ...] = ()
    readable: bool = True  # False: there is no value, and the one problem says why

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest enclosing value that exists."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(data: bytes) -> Document:
    """Parse a file. Never raises: what cannot be read at all is a document that is not readable, with one problem."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _unreadable(line, f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8")
    try:
        return _Reader(text).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _unreadable(line, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML; remove it")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _unreadable(mark.line + 1 if mark else 1, _explain(error))


def _unreadable(line: int, message: str) -> Document:
    return Document(value=None, problems=(YamlProblem(line=line, path=(), message=message),), readable=False)


def _explain(error: yaml.MarkedYAMLError) -> str:
    sentence = ", ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in sentence:
        return "a tab where YAML allows only spaces; indent and separate with spaces"
    return f"not valid YAML: {sentence}"


class _Reader(yaml.SafeLoader):
    """Composes nodes without anchors and aliases, then turns them into data."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._nodes = 0, 0
        self._problems: list[YamlProblem] = []
        self._lines: dict[Path, int] = {}

    def document(self) -> Document:
        node = self.get_single_node()
        if node is None:
            return _unreadable(1, "the file is empty; docs/reference/taxonomies.md shows the smallest valid one")
        value = self._value(node, ())
        ordered = tuple(sorted(self._problems, key=lambda problem: problem.line))
        return Document(value=value, lines=self._lines, problems=ordered)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Like PyYAML's, but anchors and aliases are errors, and depth is limited."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._nodes += 1
        if self._nodes > MAX_NODES:
            problem = f"more than {MAX_NODES:,} values; split it into several taxonomies"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=_marks(event)[0])
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self._refuse(event, (), f"the alias *{event.anchor} is not allowed; write the value out")
            return yaml.ScalarNode(_NULL, "", *_marks(event))
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._refuse(event, (), f"the anchor &{event.anchor} is not allowed; remove it")
            event.anchor = None
        return self._compose_deeper(parent, index, event)

    def _compose_deeper(self, parent: yaml.Node | None, index: Any, event: yaml.Event) -> yaml.Node | None:
        if self._depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels deep", problem_mark=_marks(event)[0])
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, at: yaml.Node | yaml.Event, path: Path, message: str) -> None:
        self._problems.append(YamlProblem(line=_marks(at)[0].line + 1, path=path, message=message))

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, _marks(node)[0].line + 1)
        if node.tag not in _COLLECTIONS and node.tag not in _SCALARS:
            tag = node.tag.replace(_TAG, "!!")
            self._refuse(node, path, f"the YAML tag {tag} is not allowed; taxonomies are plain data")
        if isinstance(node, yaml.MappingNode):
            return {key: self._value(value, (*path, key)) for key, value in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, place)) for place, child in enumerate(node.value)]
        return self._scalar(node, path)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, path, "a key must be text, not a list or a map")
                continue
            self._check_key(key, (*path, key.value))
            self._check_characters(key, path)
            if (*path, key.value) not in self._lines:
                self._lines[*path, key.value] = _marks(key)[0].line + 1
                yield key.value, value

    def _check_key(self, key: yaml.ScalarNode, path: Path) -> None:
        if path in self._lines:
            self._refuse(key, path, f"the key {key.value!r} is already on line {self._lines[path]}; keep one of them")
        if key.tag != _TEXT:
            kind = _SCALARS.get(key.tag, "something else")
            self._refuse(key, path, f"YAML reads the key {key.value!r} as {kind}; put it in quotes: '{key.value}'")

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            value = self._plain(node) if node.tag in _SCALARS else node.value
        except Exception:  # noqa: BLE001  # PyYAML hands on whatever its conversions raise: of numbers, dates, signs
            self._refuse(node, path, f"{node.value[:60]!r} is not {_SCALARS[node.tag]}")
            return node.value
        if isinstance(value, (int, float)) and not abs(value) < _LARGEST:  # NaN is not, either
            self._refuse(node, path, f"{node.value[:60]} is not a finite number, or is too large")
            return node.value
        self._check_characters(node, path)
        return value

    def _plain(self, node: yaml.Node) -> Any:
        is_endless = node.tag in (_INT, _FLOAT) and len(node.value) > _LONGEST_NUMBER
        return math.inf if is_endless else self.construct_object(node)

    def _check_characters(self, node: yaml.Node, path: Path) -> None:
        """Check for characters that only escapes can produce, and that neither databases nor tokenizers accept."""
        found = _UNSTORABLE.search(node.value)
        if found:
            self._refuse(node, path, f"the character U+{ord(found[0]):04X} is not allowed in text; remove it")


def _marks(at: yaml.Node | yaml.Event) -> tuple[Any, Any]:
    """Where it begins and ends. PyYAML's types allow None, which a parser never leaves there."""
    return at.start_mark, at.end_mark
