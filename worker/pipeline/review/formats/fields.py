"""One decision from named values, as lines of JSONL and rows of CSV have them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.catalog.decisions import Chosen, Verdict
from worker.pipeline.review.formats import addresses
from worker.pipeline.review.formats.rows import BadRow, BadValueError, FileRow, Note, Place, ReadOptions, RecordedEffect
from worker.suggestions import shown, suggested
from worker.tagging.taxonomy import ABSTENTION
from worker.types import ObjectRef

#: Fields that name the image by one value.
ADDRESSES = ("path", "uri", "url", "image", "file", "filename", "filepath")
#: Every field that is read.
KNOWN = (
    "bucket", "key", *ADDRESSES, "sha256", "taxonomy", "verdict", "label", "labels", "reviewer", "reason", "chosen",
    "inclusion_probability", "plan", "shown_label", "shown_version", "shown_space", "shown_decision", "at", "undone_by",
)  # fmt: skip
#: Fields of our own exports that say nothing about what to decide.
SILENT = ("id", "batch", "taxonomy_version", "undoes", "adds", "removes", "answers", "decision")
#: Between labels in one cell.
SEPARATOR = ";"
_SHA256 = 64
_WORDLESS = (Verdict.NONE, Verdict.UNSURE, Verdict.WITHDRAW)


def unknown(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of fields that are not read: those that look like a typing error, with what was meant, and the others."""
    mistakes: list[str] = []
    others: list[str] = []
    for name in names:
        if name in KNOWN or name in SILENT:
            continue
        hint = suggested(name, KNOWN, otherwise="")
        (mistakes if hint else others).append(f"unknown column {shown(name)}; {hint}" if hint else name)
    return mistakes, others


def row(values: Mapping[str, Any], place: Place, options: ReadOptions) -> FileRow | BadRow | Note:
    """The decision that named values make; empty ones count as absent."""
    given = {name: _trimmed(name, value) for name, value in values.items()}
    given = {name: value for name, value in given.items() if value not in ("", None)}
    try:
        return _row(given, place, options)
    except BadValueError as error:
        return BadRow(
            place=place,
            message=str(error),
            image=_image_as_written(given),
            taxonomy=str(given.get("taxonomy") or options.taxonomy or ""),
            label=str(given.get("label", given.get("labels", ""))),
        )


def _trimmed(name: str, value: Any) -> Any:
    """Without white space around it, unless that may be part of a name."""
    return value.strip() if isinstance(value, str) and name not in ("bucket", "key", *ADDRESSES) else value


def _row(values: Mapping[str, Any], place: Place, options: ReadOptions) -> FileRow | Note:
    verdict = _verdict(values)
    if verdict is Verdict.UNDO:
        return Note(what="undo rows: what they took back is left out as well")
    if values.get("undone_by") is not None:
        return Note(what="decisions that were undone")
    words = labels(values, options)
    if words is None:
        return Note(what="labels that the map leaves out")
    taxonomy = _text(values, "taxonomy") or options.taxonomy
    if taxonomy is None:
        raise BadValueError("no taxonomy: add the column, or give --taxonomy")
    verdict, words = _meant(verdict, words)
    return FileRow(
        place=place,
        ref=_ref(values, options),
        taxonomy=options.taxonomies.get(taxonomy, taxonomy),
        verdict=verdict,
        labels=words,
        whole="labels" in values or isinstance(values.get("label"), list),
        sha256=_sha256(values),
        reviewer=_text(values, "reviewer"),
        reason=_text(values, "reason"),
        chosen=_chosen(values),
        inclusion_probability=_probability(values),
        plan=_whole_number(values, "plan"),
        shown_label=_text(values, "shown_label"),
        shown_version=_text(values, "shown_version"),
        shown_space=_whole_number(values, "shown_space"),
        shown_decision=_whole_number(values, "shown_decision"),
        at=_time(values),
        effect=_effect(values),
    )


def labels(values: Mapping[str, Any], options: ReadOptions) -> tuple[str, ...] | None:
    """The labels of a row, mapped; None if the map leaves all of them out."""
    given = values.get("labels", values.get("label"))
    if given is None and "verdict" not in values:
        given = options.label
    if isinstance(given, str) and "labels" in values:
        given = _list(given)
    words = [given] if not isinstance(given, list) else given
    if given is None:
        return ()
    return mapped(words, options)


def mapped(words: Iterable[object], options: ReadOptions) -> tuple[str, ...] | None:
    """Labels by the names that the map gives them, each once; None if the map leaves all of them out.

    Raises:
        BadValueError: one of them is not a text.
    """
    plain = [text(word, "label").strip() for word in words]
    meant = tuple(dict.fromkeys(options.labels.get(word, word) for word in plain))
    kept = tuple(word for word in meant if word)
    return None if meant and not kept else kept


def _list(cell: str) -> list[Any]:
    if cell.lstrip().startswith("["):
        try:
            found = json.loads(cell)
        except ValueError as error:
            raise BadValueError(f"labels {shown(cell)} is not a list of labels") from error
        return found if isinstance(found, list) else [found]
    return [word for word in cell.split(SEPARATOR) if word.strip()]


def _verdict(values: Mapping[str, Any]) -> Verdict | None:
    word = _text(values, "verdict")
    if word is None:
        return None
    try:
        return Verdict(word.lower())
    except ValueError as error:
        choices = [str(each) for each in Verdict]
        hint = suggested(word, choices, otherwise=f"choose one of {', '.join(choices)}")
        raise BadValueError(f"unknown verdict {shown(word)}; {hint}") from error


def _meant(verdict: Verdict | None, words: tuple[str, ...]) -> tuple[Verdict, tuple[str, ...]]:
    if words == (ABSTENTION,) and verdict in (None, Verdict.ACCEPT, Verdict.NONE):
        return Verdict.NONE, ()
    if verdict is None and not words:
        raise BadValueError(
            f"no label and no verdict; if no label of the taxonomy holds, write the verdict {Verdict.NONE}"
        )
    verdict = verdict or Verdict.ACCEPT
    if not words and verdict not in _WORDLESS:
        raise BadValueError(f"the verdict {verdict} needs a label")
    if len(words) > 1 and verdict is not Verdict.ACCEPT:
        raise BadValueError(f"the verdict {verdict} is about one label, not {len(words)}: write a row for each")
    if words and verdict is Verdict.NONE:
        raise BadValueError("the verdict none means that no label holds: leave the label out, or write reject")
    return verdict, words


def _ref(values: Mapping[str, Any], options: ReadOptions) -> ObjectRef:
    key = values.get("key")
    if key is not None:
        bucket = _text(values, "bucket") or options.bucket
        if bucket is None:
            raise BadValueError("no bucket: add the column, or give --bucket")
        return ObjectRef(bucket=bucket, key=text(key, "key"))
    address = next((values[name] for name in ADDRESSES if name in values), None)
    if address is None:
        raise BadValueError("no image: give bucket and key, or a path")
    bucket = _text(values, "bucket")
    if bucket is not None:
        options = replace(options, bucket=bucket)
    return addresses.image(text(address, "path"), options)


def _image_as_written(values: Mapping[str, Any]) -> str:
    if "key" in values:
        return f"{values.get('bucket', '')}/{values['key']}"
    return str(next((values[name] for name in ADDRESSES if name in values), ""))


def _chosen(values: Mapping[str, Any]) -> Chosen:
    word = _text(values, "chosen")
    if word is None:
        return Chosen.IMPORT
    try:
        return Chosen(word)
    except ValueError as error:
        choices = [str(each) for each in Chosen]
        hint = suggested(word, choices, otherwise=f"choose one of {', '.join(choices)}")
        raise BadValueError(f"unknown way to choose images {shown(word)}; {hint}") from error


def _probability(values: Mapping[str, Any]) -> float | None:
    given = values.get("inclusion_probability")
    if given is None:
        return None
    try:
        found = float(given)
    except (TypeError, ValueError) as error:
        raise BadValueError(f"inclusion_probability {shown(str(given))} is not a number") from error
    if not 0 < found <= 1 or math.isnan(found):
        raise BadValueError(f"inclusion_probability {given} must be above 0 and at most 1")
    return found


def _whole_number(values: Mapping[str, Any], name: str) -> int | None:
    given = values.get(name)
    if given is None:
        return None
    try:
        found = int(str(given))
    except ValueError as error:
        raise BadValueError(f"{name} {shown(str(given))} is not a whole number") from error
    if not 0 <= found < 1 << 63:
        raise BadValueError(f"{name} {given} is out of range")
    return found


def _sha256(values: Mapping[str, Any]) -> str | None:
    found = _text(values, "sha256")
    if found is None:
        return None
    if len(found) != _SHA256 or not all(c in "0123456789abcdefABCDEF" for c in found):
        raise BadValueError(f"sha256 {shown(found)} is not {_SHA256} hex digits")
    return found.lower()


def _effect(values: Mapping[str, Any]) -> RecordedEffect | None:
    answers = {"true": True, "false": False}.get(str(values.get("answers")).lower())
    if answers is None:
        return None
    adds, removes = (_listed(values.get(name)) for name in ("adds", "removes"))
    return RecordedEffect(adds=adds, removes=removes, answers=answers)


def _listed(given: Any) -> tuple[str, ...]:
    words = _list(given) if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(text(word, "label") for word in words)


def _time(values: Mapping[str, Any]) -> datetime | None:
    found = _text(values, "at")
    return None if found is None else time(found)


def time(word: str) -> datetime:
    """A point in time; without an offset it is UTC.

    Raises:
        BadValueError: it is not one.
    """
    try:
        found = datetime.fromisoformat(word)
    except ValueError as error:
        raise BadValueError(f"the time {shown(word)} is not like 2026-09-30T12:00:00+00:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(values: Mapping[str, Any], name: str) -> str | None:
    given = values.get(name)
    return None if given is None else text(given, name)


def text(given: object, name: str) -> str:
    """A value as a text that the database can store.

    Raises:
        BadValueError: it is not one.
    """
    if not isinstance(given, str):
        raise BadValueError(f"{name} {shown(str(given))} is not a text")
    if "\0" in given or any("\ud800" <= c <= "\udfff" for c in given):
        raise BadValueError(f"{name} {shown(given)} has a character that cannot be stored")
    return given
