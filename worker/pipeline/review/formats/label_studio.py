"""Label Studio's JSON export: tasks, each with the annotations of one or more people.

Only ``choices`` say something about a whole image. https://labelstud.io/guide/task_format
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from worker.catalog.decisions import Verdict
from worker.pipeline.review.formats import addresses, fields, rows
from worker.pipeline.review.formats.json_stream import JsonError, JsonStream
from worker.pipeline.review.formats.rows import (
    BadRow,
    BadValueError,
    Compared,
    FileRow,
    Note,
    Parts,
    Place,
    ReadOptions,
)
from worker.tagging.taxonomy import ABSTENTION
from worker.types import ObjectRef

#: Names of the image among a task's data, the usual one first.
_IMAGE_FIELDS = ("image", "img", "picture", "photo", "url")


def read(text: TextIO, options: ReadOptions) -> Parts:
    """Rows of an export."""
    stream = JsonStream(text)
    used: set[str] = set()
    for number, (line, task) in enumerate(stream.items(), 1):
        name = task.get("id", number) if isinstance(task, dict) else number
        place = Place(line=line, item=f"task {name}")
        if options.taxonomy is not None:
            used.update(_fields_of(task))
            if len(used) > 1:
                raise JsonError(line, rows.which_field(used))
        yield from _task(task, place, options)
    stream.end()


def _task(task: Any, place: Place, options: ReadOptions) -> Iterator[FileRow | BadRow | Note | Compared]:
    annotations = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        yield BadRow(place=place, message="no annotations: export the project as JSON, not as JSON-MIN")
        return
    address = ""
    try:
        address = _address(task, annotations)
        ref = addresses.image(address, options)
        found = [list(_annotation(each, ref, place, options)) for each in annotations]
    except BadValueError as error:
        yield BadRow(place=place, message=str(error), image=address)
        return
    if not annotations:
        yield Note(what="tasks without annotations")
    for parts in found:
        yield from parts
    yield from _compared(found)


def _fields_of(task: Any) -> Iterator[str]:
    for annotation in task.get("annotations") or () if isinstance(task, dict) else ():
        for result in _results(annotation) if isinstance(annotation, dict) else ():
            if result.get("type") == "choices":
                yield str(result.get("from_name"))


def _address(task: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> str:
    data = task.get("data")
    if not isinstance(data, dict):
        raise BadValueError("no data, which has the image's address")
    sources = [r["source"] for a in annotations for r in _results(a) if isinstance(r.get("source"), str)]
    for name in (*(source.removeprefix("$") for source in sources), *_IMAGE_FIELDS):
        if name in data:
            return fields.text(data[name], f"data.{name}")
    texts = [value for value in data.values() if isinstance(value, str)]
    if len(texts) != 1:
        raise BadValueError(f"none of the fields of data is called {', '.join(_IMAGE_FIELDS)}: which is the image?")
    return texts[0]


def _annotation(
    annotation: Mapping[str, Any], ref: ObjectRef, place: Place, options: ReadOptions
) -> Iterator[FileRow | Note]:
    choices = {str(r.get("from_name")): r for r in _results(annotation) if r.get("type") == "choices"}
    others = len(_results(annotation)) - len(choices)
    if others:
        yield Note(what="results that say nothing about the whole image, such as boxes")
    if annotation.get("was_cancelled"):
        yield from _skipped(annotation, list(choices), ref, place, options)
        return
    asked = {name: result for name, result in choices.items() if _asked(name, options)}
    if not asked and not others:
        yield Note(what="annotations without a choice")
    for name, result in asked.items():
        value = result.get("value")
        words = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(words, list):
            raise BadValueError(f"{name} has no list of choices")
        labels = fields.mapped(words, options)
        if labels is None:
            yield Note(what="labels that the map leaves out")
        elif labels:
            yield _row(annotation, labels, _taxonomy(name, options), ref, place)


def _skipped(
    annotation: Mapping[str, Any], names: Sequence[str], ref: ObjectRef, place: Place, options: ReadOptions
) -> Iterator[FileRow | Note]:
    """A person skipped the task: unsure, in every taxonomy that the project asks about."""
    asked = [options.taxonomy] if options.taxonomy else [*options.taxonomies.values()]
    asked = asked or [_taxonomy(name, options) for name in names]
    if not asked:
        yield Note(what="skipped annotations of no known taxonomy: give --taxonomy to import them as unsure")
    for taxonomy in asked:
        yield _row(annotation, (), taxonomy, ref, place)


def _row(
    annotation: Mapping[str, Any], labels: tuple[str, ...], taxonomy: str, ref: ObjectRef, place: Place
) -> FileRow:
    none = labels == (ABSTENTION,)
    at = annotation.get("updated_at") or annotation.get("created_at")
    return FileRow(
        place=place,
        ref=ref,
        taxonomy=taxonomy,
        verdict=Verdict.UNSURE if not labels else Verdict.NONE if none else Verdict.ACCEPT,
        labels=() if none else labels,
        whole=True,
        reviewer=_person(annotation.get("completed_by")),
        at=None if at is None else fields.time(fields.text(at, "updated_at")),
    )


def _person(completed_by: Any) -> str | None:
    """Older exports have the whole user, newer ones a number."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("username") or completed_by.get("id")
    if isinstance(completed_by, int):
        return f"label-studio:{completed_by}"
    return completed_by if isinstance(completed_by, str) and completed_by else None


def _results(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    results = annotation.get("result")
    return [each for each in results if isinstance(each, dict)] if isinstance(results, list) else []


def _asked(name: str, options: ReadOptions) -> bool:
    return not options.taxonomies or name in options.taxonomies


def _taxonomy(name: str, options: ReadOptions) -> str:
    return options.taxonomies.get(name) or options.taxonomy or name


def _compared(found: Sequence[Sequence[FileRow | Note]]) -> Iterator[Compared]:
    """Whether the people who gave labels gave the same ones."""
    answers: dict[str, list[tuple[Verdict, frozenset[str]]]] = {}
    for part in (part for parts in found for part in parts):
        if isinstance(part, FileRow) and part.verdict is not Verdict.UNSURE:
            answers.setdefault(part.taxonomy, []).append((part.verdict, frozenset(part.labels)))
    for given in answers.values():
        if len(given) > 1:
            yield Compared(agree=len(set(given)) == 1)
