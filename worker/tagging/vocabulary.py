"""Vocabularies: a file with one label per line."""

from __future__ import annotations

import unicodedata

from worker.label_names import normalised
from worker.tagging.messages import shown
from worker.tagging.taxonomy import ABSTENTION
from worker.tagging.yaml_lines import YamlProblem

_LONGEST = 200  # characters of a word


def read(data: bytes) -> tuple[tuple[str, ...], list[YamlProblem]]:
    """The words of a file in their order, and its errors.

    Empty lines and lines that begin with ``#`` are skipped. Spacing inside a word does not matter.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return (), [_problem(line, "not UTF-8; save the file as UTF-8")]
    words: dict[str, tuple[str, int]] = {}
    found: list[YamlProblem] = []
    for number, text in enumerate(lines, start=1):
        word = unicodedata.normalize("NFC", " ".join(text.split()))
        if not word or word.startswith("#"):
            continue
        first, line = words.setdefault(normalised(word), (word, number))
        if line != number:
            found.append(_problem(number, f"{shown(word)} is the same as {shown(first)} on line {line}"))
        found += [_problem(number, message) for message in _faults(word)]
    if not words and not found:
        found = [_problem(1, "there are no words; write one per line")]
    return tuple(word for word, _ in words.values()), found


def _faults(word: str) -> list[str]:
    if not word.isprintable():
        return [f"{shown(word)} has invisible characters"]
    if len(word) > _LONGEST:
        return [f"{shown(word)} is longer than {_LONGEST} characters; a word is a caption's worth"]
    if normalised(word) == normalised(ABSTENTION):
        return [f"the name '{ABSTENTION}' is taken: it is what conditions call an abstention"]
    return []


def _problem(line: int, message: str) -> YamlProblem:
    return YamlProblem(line=line, path=(), message=message)
