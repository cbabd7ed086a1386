"""Typed access to parsed JSON that tracks paths, so that errors can name the field and what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from worker.errors import MalformedEventError

_JSON_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A JSON value and its path, such as ``$.Records[0].s3.object.key``."""

    value: object
    path: str = "$"

    def fail(self, expected: str) -> NoReturn:
        """Raise the error that names this field."""
        got = "null" if self.value is None else _JSON_NAMES.get(type(self.value), type(self.value).__name__)
        raise MalformedEventError(f"{self.path}: expected {expected}, not {got}")

    def has(self, name: str) -> bool:
        """Whether this is an object with a member ``name`` that is not null."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def member(self, name: str) -> Field:
        """A member that must be there.

        Raises:
            MalformedEventError: this is no object, or has no such member.
        """
        members = self.members()
        if name not in members:
            raise MalformedEventError(f"{self.path}: expected a member {name!r}, which is missing")
        return Field(members[name], f"{self.path}.{name}")

    def optional(self, name: str) -> Field | None:
        """A member that may be absent; null counts as absent."""
        members = self.members()
        return None if members.get(name) is None else Field(members[name], f"{self.path}.{name}")

    def members(self) -> dict[str, object]:
        """This, which must be an object.

        Raises:
            MalformedEventError: it is something else.
        """
        if not isinstance(self.value, dict):
            self.fail("an object")
        return self.value

    def items(self) -> Iterator[Field]:
        """The elements of this, which must be an array.

        Raises:
            MalformedEventError: it is something else.
        """
        if not isinstance(self.value, list):
            self.fail("an array")
        return (Field(item, f"{self.path}[{index}]") for index, item in enumerate(self.value))

    def text(self) -> str:
        """This, which must be a string that UTF-8 can write.

        Raises:
            MalformedEventError: it is something else, or holds half of a surrogate pair.
        """
        if not isinstance(self.value, str):
            self.fail("a string")
        try:
            self.value.encode()
        except UnicodeEncodeError as error:
            raise MalformedEventError(f"{self.path}: expected Unicode text, not a lone surrogate") from error
        return self.value

    def optional_text(self, name: str) -> str | None:
        """A member that is a string if it is there; null counts as absent.

        Raises:
            MalformedEventError: it is something else.
        """
        found = self.optional(name)
        return None if found is None else found.text()
