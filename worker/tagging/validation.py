"""Everything wrong with a taxonomy document, in words that say what to write instead."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path as FilePath
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator

from worker import resources
from worker.tagging.yaml_lines import Document, Path, Problem

#: More are not looked for: who has made a thousand mistakes has made one mistake a thousand times.
MAX_FINDINGS = 1000

#: Most texts a taxonomy may ask a model to encode: minutes on two cores.
MAX_TEXTS = 100_000

_Finding: TypeAlias = tuple[Path, str]
_Wording: TypeAlias = Callable[["_Violation"], Iterator[_Finding]]

_MOST_SHOWN = 60  # characters of a value in a message

_KINDS = {
    "array": "a list",
    "boolean": "a boolean",
    "null": "nothing",
    "number": "a number",
    "object": "a map (key: value)",
    "string": "text",
}


def problems(document: Document) -> list[Problem]:
    """All problems of a file in the order of its lines; empty if it is a valid taxonomy.

    A line that YAML itself makes a problem of is not judged further: what it means is unknown.
    """
    if not document.readable:
        return list(document.problems)
    spoilt = {problem.line for problem in document.problems}
    found = list(document.problems)
    findings = islice(chain(_schema_findings(document.value), _content_findings(document)), MAX_FINDINGS)
    for path, message in dict.fromkeys(findings):
        problem = Problem(line=document.line(path), path=path, message=message)
        if problem.line not in spoilt:
            found.append(problem)
    return sorted(found, key=lambda problem: problem.line)


def schema() -> dict[str, Any]:
    """``taxonomy.schema.json``, which is the definition of the format."""
    return _load_schema(resources.schemas_dir() / "taxonomies" / "taxonomy.schema.json")


@lru_cache(maxsize=4)
def _load_schema(path: FilePath) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def normalised(name: str) -> str:
    """What two labels must not share: ``Blank Page``, ``blank_page`` and ``blank-page`` are one label to people."""
    return re.sub(r"[\s_-]+", "-", unicodedata.normalize("NFKC", name).casefold().strip())


# -- what the schema says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Violation:
    """What jsonschema reports, reduced to what the wordings need."""

    keyword: str  # of the schema: "type", "required" …
    path: Path
    value: Any  # what the document has there
    allowed: Any  # what the keyword says
    schema: dict[str, Any]  # the subschema the keyword stands in


def _schema_findings(value: Any) -> Iterator[_Finding]:
    for error in Draft202012Validator(schema()).iter_errors(value):
        violation = _violation(error)
        yield from _WORDINGS[violation.keyword](violation)


def _violation(error: Any) -> _Violation:
    path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:  # the path of a refused key ends at its map
        path = (*path, error.instance)
    return _Violation(
        keyword=error.validator,
        path=path,
        value=error.instance,
        allowed=error.validator_value,
        schema=error.schema,
    )


def _unknown_fields(violation: _Violation) -> Iterator[_Finding]:
    choices = sorted(violation.schema["properties"])
    for name in violation.value:
        if name not in choices:
            message = f"unknown field{_did_you_mean(name, choices)}; the fields here are {', '.join(choices)}"
            yield (*violation.path, name), message


def _missing_fields(violation: _Violation) -> Iterator[_Finding]:
    for name in violation.allowed:
        if name not in violation.value:
            description = violation.schema["properties"][name]["description"]
            yield violation.path, f"the field '{name}' is missing: {_lowered(description)}"


def _wrong_type(violation: _Violation) -> Iterator[_Finding]:
    wanted = [violation.allowed] if isinstance(violation.allowed, str) else violation.allowed
    kinds = " or ".join(_KINDS[kind] for kind in wanted)
    quotable = wanted == ["string"] and not isinstance(violation.value, (list, type(None)))
    hint = "; put it in quotes" if quotable else ""
    yield violation.path, f"must be {kinds}, not {_shown(violation.value)}{hint}"


def _not_a_choice(violation: _Violation) -> Iterator[_Finding]:
    choices = violation.allowed
    hint = _did_you_mean(violation.value, choices)
    yield violation.path, f"must be one of {', '.join(choices)}, not {_shown(violation.value)}{hint}"


def _wrong_text(violation: _Violation) -> Iterator[_Finding]:
    if not violation.value.strip():
        yield violation.path, "must not be empty"
    else:
        yield violation.path, f"{_shown(violation.value)} does not fit: {_lowered(violation.schema['description'])}"


def _limit(sentence: str) -> _Wording:
    def wording(violation: _Violation) -> Iterator[_Finding]:
        yield violation.path, sentence.format(limit=violation.allowed, shown=_shown(violation.value))

    return wording


_WORDINGS: dict[str, _Wording] = {
    "additionalProperties": _unknown_fields,
    "required": _missing_fields,
    "type": _wrong_type,
    "enum": _not_a_choice,
    "pattern": _wrong_text,
    "anyOf": _limit("needs two labels, or one label and background prompts: alone, a label would fit every image"),
    "minimum": _limit("must be {limit} or more, not {shown}"),
    "maximum": _limit("must be {limit} or less, not {shown}"),
    "maxLength": _limit("must have at most {limit} characters"),
    "minItems": _limit("must not be empty"),
    "maxItems": _limit("must have at most {limit} entries"),
    "minProperties": _limit("must not be empty"),
    "maxProperties": _limit("must have at most {limit} entries"),
}


def _shown(value: Any) -> str:
    for kind, types in (("array", list), ("object", dict), ("null", type(None))):
        if isinstance(value, types):
            return _KINDS[kind]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
    return repr(text) if isinstance(value, str) else text


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _did_you_mean(name: Any, choices: list[str]) -> str:
    nearest = difflib.get_close_matches(str(name).lower(), choices, n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


# -- what a schema cannot say ------------------------------------------------------------------------------------------


def _content_findings(document: Document) -> Iterator[_Finding]:
    """Judges whatever has the right shape, so that these problems are reported beside those of the schema."""
    if isinstance(document.value, dict):
        value = document.value
        yield from _equal_names(_map(value, "labels"), document)
        yield from _shared_prompts(value, document)
        yield from _mistyped_models(_map(value, "models"))
        yield from _too_many_texts(value)


def _equal_names(labels: dict[str, Any], document: Document) -> Iterator[_Finding]:
    """Labels that people would take for one another, and aliases that are another label's name."""
    seen: dict[str, Path] = {}
    for name in labels:
        path = ("labels", name)
        first = seen.setdefault(normalised(name), path)
        if first != path:
            yield path, f"the same label as {first[-1]!r} on line {document.line(first)}, but for case or punctuation"
    for name, label in labels.items():
        for place, alias in enumerate(_texts(label, "aliases")):
            owner = seen.get(normalised(alias))
            if owner and owner[-1] != name:
                yield (
                    ("labels", name, "aliases", place),
                    f"{_shown(alias)} is a label itself, on line {document.line(owner)}",
                )


def _shared_prompts(value: dict[str, Any], document: Document) -> Iterator[_Finding]:
    owners: dict[str, Path] = {}
    for path, prompts in _prompt_lists(value):
        for place, prompt in enumerate(prompts):
            owner = owners.setdefault(" ".join(prompt.split()), path)
            if prompt.strip() and owner != path:
                other = f"{dotted(owner)}, line {document.line(owner)}"
                yield (*path, place), f"{_shown(prompt)} is a prompt of {other}, too: it cannot tell the two apart"


def _prompt_lists(value: dict[str, Any]) -> Iterator[tuple[Path, list[str]]]:
    for name, label in _map(value, "labels").items():
        if isinstance(label, list):
            yield ("labels", name), _only_texts(label)
        else:
            yield ("labels", name, "prompts"), _texts(label, "prompts")
    yield ("background",), _texts(value, "background")


def _mistyped_models(models: dict[str, Any]) -> Iterator[_Finding]:
    for name in models:
        if name != "starter" and "/" not in name and _did_you_mean(name, ["starter"]):
            yield ("models", name), f"no model is called {_shown(name)}; did you mean 'starter'?"


def _too_many_texts(value: dict[str, Any]) -> Iterator[_Finding]:
    prompts = sum(len(prompts) for _, prompts in _prompt_lists(value))
    texts = prompts * max(1, len(_texts(value, "templates")))
    if texts > MAX_TEXTS:
        yield (), f"{texts:,} texts to encode (prompts × templates); at most {MAX_TEXTS:,} are allowed"


def _map(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _texts(value: Any, key: str) -> list[str]:
    found = value.get(key) if isinstance(value, dict) else None
    return _only_texts(found) if isinstance(found, list) else []


def _only_texts(values: list[Any]) -> list[str]:
    # Placeholders keep every text at its index.
    return [value if isinstance(value, str) else "" for value in values]


def dotted(path: Path) -> str:
    """``labels.day.prompts[1]``, as error messages write it; on one line whatever the file has for keys."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in path).lstrip(".")


def _printable(key: str) -> str:
    return key if key.isprintable() and len(key) <= _MOST_SHOWN else _shown(key)
