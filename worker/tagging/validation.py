"""Reports all errors in a taxonomy document, and what to write instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path as FilePath
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator

from worker import resources
from worker.tagging.content import content_findings
from worker.tagging.messages import KINDS, Finding, did_you_mean, lowered, shown
from worker.tagging.yaml_lines import Document, Path, YamlProblem

#: The search stops here: a thousand mistakes are usually one mistake made a thousand times.
MAX_FINDINGS = 1000

_Wording: TypeAlias = Callable[["_Violation"], Iterator[Finding]]


def problems(document: Document) -> list[YamlProblem]:
    """All problems of a file in the order of its lines; empty if it is a valid taxonomy.

    A line that YAML itself makes a problem of is not judged further: what it means is unknown.
    """
    if not document.readable:
        return list(document.problems)
    spoilt = {problem.line for problem in document.problems}
    found = list(document.problems)
    findings = islice(chain(_schema_findings(document.value), content_findings(document)), MAX_FINDINGS)
    for path, message in dict.fromkeys(findings):
        problem = YamlProblem(line=document.line(path), path=path, message=message)
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


# -- what the schema says ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Violation:
    """What jsonschema reports, reduced to what the wordings need."""

    keyword: str  # of the schema: "type", "required" …
    path: Path
    value: Any  # what the document has there
    allowed: Any  # what the keyword says
    schema: dict[str, Any]  # the subschema the keyword stands in


def _schema_findings(value: Any) -> Iterator[Finding]:
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


def _unknown_fields(violation: _Violation) -> Iterator[Finding]:
    choices = sorted(violation.schema["properties"])
    for name in violation.value:
        if name not in choices:
            message = f"unknown field{did_you_mean(name, choices)}; the fields here are {', '.join(choices)}"
            yield (*violation.path, name), message


def _missing_fields(violation: _Violation) -> Iterator[Finding]:
    fields = violation.schema.get("properties", schema()["properties"])
    for name in violation.allowed:
        if name not in violation.value:
            description = fields[name]["description"]
            yield violation.path, f"the field '{name}' is missing: {lowered(description)}"


def _wrong_type(violation: _Violation) -> Iterator[Finding]:
    wanted = [violation.allowed] if isinstance(violation.allowed, str) else violation.allowed
    kinds = " or ".join(KINDS[kind] for kind in wanted)
    quotable = wanted == ["string"] and not isinstance(violation.value, (list, type(None)))
    hint = "; put it in quotes" if quotable else ""
    yield violation.path, f"must be {kinds}, not {shown(violation.value)}{hint}"


def _not_a_choice(violation: _Violation) -> Iterator[Finding]:
    choices = violation.allowed
    if choices == [True]:
        yield violation.path, f"must be true, not {shown(violation.value)}; or leave it out"
        return
    hint = did_you_mean(violation.value, choices)
    yield violation.path, f"must be one of {', '.join(choices)}, not {shown(violation.value)}{hint}"


def _wrong_text(violation: _Violation) -> Iterator[Finding]:
    if not violation.value.strip():
        yield violation.path, "must not be empty"
    else:
        yield violation.path, f"{shown(violation.value)} does not fit: {lowered(violation.schema['description'])}"


def _as_commented(violation: _Violation) -> Iterator[Finding]:
    """Add what the alternatives' own messages do not say."""
    yield violation.path, violation.schema["$comment"]


def _limit(sentence: str) -> _Wording:
    def wording(violation: _Violation) -> Iterator[Finding]:
        yield violation.path, sentence.format(limit=violation.allowed, shown=shown(violation.value))

    return wording


_WORDINGS: dict[str, _Wording] = {
    "additionalProperties": _unknown_fields,
    "required": _missing_fields,
    "type": _wrong_type,
    "enum": _not_a_choice,
    "pattern": _wrong_text,
    "anyOf": _as_commented,
    "minimum": _limit("must be {limit} or more, not {shown}"),
    "maximum": _limit("must be {limit} or less, not {shown}"),
    "maxLength": _limit("must have at most {limit} characters"),
    "minItems": _limit("must not be empty"),
    "maxItems": _limit("must have at most {limit} entries"),
    "minProperties": _limit("must not be empty"),
    "maxProperties": _limit("must have at most {limit} entries"),
}
