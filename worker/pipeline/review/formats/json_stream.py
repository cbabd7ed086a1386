"""Reads a JSON document item by item, so that its size does not matter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

_CHUNK = 1 << 16
_SPACES = " \t\r\n"
#: Most characters of one item.
MOST = 1 << 24


class JsonError(ValueError):
    """The document is not JSON, or ends early."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class JsonStream:
    """A position in a JSON document."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._ended = False
        self._line = 1  # of the start of the buffer

    @property
    def line(self) -> int:
        """The current line, from 1."""
        return self._line + self._buffer.count("\n", 0, self._at)

    def next(self) -> str:
        """The next character that is not white space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACES:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, characters: str) -> str:
        """Take the next character.

        Raises:
            JsonError: it is none of these.
        """
        found = self.next()
        if not found:
            raise JsonError(self.line, "the file ends early: it is truncated")
        if found not in characters:
            wanted = " or ".join(repr(each) for each in characters)
            raise JsonError(self.line, f"not JSON: {wanted} was expected, not {found!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Take one whole value."""
        self.next()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._buffer, self._at)
            except RecursionError as error:
                raise JsonError(self.line, "not readable: nested too deeply") from error
            except json.JSONDecodeError as error:
                if _is_certain(error, len(self._buffer)) or not self._more():
                    self._at = error.pos
                    raise JsonError(self.line, _why(error, len(self._buffer))) from error
                continue
            # A number at the end of the buffer may go on.
            if end < len(self._buffer) or not self._more():
                self._at = end
                return value

    def items(self) -> Iterator[tuple[int, Any]]:
        """Take a list: each item with the line on which it begins."""
        self.take("[")
        if self.next() == "]":
            self.take("]")
            return
        while True:
            self.next()
            yield self.line, self.value()
            if self.take(",]") == "]":
                return

    def names(self) -> Iterator[tuple[int, str]]:
        """Take an object: each name with its line; the caller takes the value before it goes on."""
        self.take("{")
        if self.next() == "}":
            self.take("}")
            return
        while True:
            if self.next() != '"':
                self.take('"')
            line, name = self.line, self.value()
            self.take(":")
            yield line, name
            if self.take(",}") == "}":
                return

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            raise JsonError(self.line, "not JSON: there is more after its end")

    def _more(self) -> bool:
        """Read on; false at the end."""
        if self._ended:
            return False
        if len(self._buffer) - self._at > MOST:
            raise JsonError(self.line, f"an item is longer than {MOST:,} characters")
        # As much again as is waiting: each character of a long item is scanned a few times only.
        chunk = self._text.read(max(_CHUNK, len(self._buffer) - self._at))
        self._ended = not chunk
        self._line += self._buffer.count("\n", 0, self._at)
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)


def _is_certain(error: json.JSONDecodeError, length: int) -> bool:
    """Whether the error remains, however the text goes on. A literal or an escape sequence may be cut by the end."""
    return not error.msg.startswith("Unterminated") and error.pos < length - 16


def _why(error: json.JSONDecodeError, length: int) -> str:
    if _is_certain(error, length):
        return f"not JSON: {error.msg.lower()}"
    return "the file ends early: it is truncated"
