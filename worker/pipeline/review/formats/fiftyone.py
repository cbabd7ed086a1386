"""FiftyOne's exports of classifications: ``samples.json`` of a FiftyOneDataset, ``labels.json`` of a
FiftyOneImageClassificationDataset.

https://docs.voxel51.com/user_guide/export_datasets.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from worker.catalog.decisions import Verdict
from worker.pipeline.review.formats import addresses, fields, rows
from worker.pipeline.review.formats.json_stream import JsonError, JsonStream
from worker.pipeline.review.formats.rows import BadRow, BadValueError, FileRow, Note, Parts, Place, ReadOptions
from worker.suggestions import shown
from worker.tagging.taxonomy import ABSTENTION
from worker.types import ObjectRef

#: Where exports put copies of the images.
_MEDIA = "data/"


def read(text: TextIO, options: ReadOptions) -> Parts:
    """Rows of either file."""
    stream, classes = JsonStream(text), None
    for line, name in stream.names():
        if name == "samples":
            yield from _samples(stream, options)
        elif name == "labels":
            yield from _targets(stream, classes, options)
        elif name == "classes":
            classes = stream.value()
        else:
            stream.value()
            yield Note(what=f"{shown(name)} on line {line}, which has no labels")
    stream.end()


# -- samples.json ------------------------------------------------------------------------------------------------------
def _samples(stream: JsonStream, options: ReadOptions) -> Parts:
    used: set[str] = set()
    for number, (line, sample) in enumerate(stream.items(), 1):
        place = Place(line=line, item=f"sample {number}")
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            yield BadRow(place=place, message="no filepath")
            continue
        try:
            ref = _ref(sample["filepath"], options)
            labelled = {name: value for name, value in sample.items() if _is_classification(value)}
            used.update(labelled)
            if len(used) > 1 and options.taxonomy is not None:
                raise JsonError(line, rows.which_field(used))
            yield from _fields(labelled, ref, place, options)
        except BadValueError as error:
            yield BadRow(place=place, message=str(error), image=sample["filepath"])


def _is_classification(value: Any) -> bool:
    return isinstance(value, dict) and value.get("_cls") in ("Classification", "Classifications")


def _fields(labelled: dict[str, Any], ref: ObjectRef, place: Place, options: ReadOptions) -> Iterator[FileRow | Note]:
    asked = {n: v for n, v in labelled.items() if not options.taxonomies or n in options.taxonomies}
    if not asked:
        yield Note(what="samples without a label")
    for name, value in asked.items():
        several = value["_cls"] == "Classifications"
        labels = value.get("classifications") if several else [value]
        if not isinstance(labels, list) or not all(isinstance(each, dict) for each in labels):
            raise BadValueError(f"{name} has no list of classifications")
        if name not in options.taxonomies and any(each.get("confidence") is not None for each in labels):
            raise BadValueError(
                f"{name} has confidences, as a model has; if people gave the labels: --taxonomy {name}=TAXONOMY"
            )
        taxonomy = options.taxonomies.get(name) or options.taxonomy or name
        words = [each.get("label") for each in labels]
        yield from _row(words, taxonomy, ref, place, options, stem=False, whole=several)


# -- labels.json -------------------------------------------------------------------------------------------------------
def _targets(stream: JsonStream, classes: Any, options: ReadOptions) -> Parts:
    taxonomy = options.taxonomy
    if taxonomy is None:
        raise JsonError(stream.line, "the file does not say of which taxonomy its labels are: give --taxonomy")
    for line, name in stream.names():
        place, target = Place(line=line, item=f"image {name}"), stream.value()
        try:
            whole = isinstance(target, list)
            words = [_word(each, classes) for each in (target if whole else [target])]
            yield from _row(words, taxonomy, _ref(name, options), place, options, stem=True, whole=whole)
        except BadValueError as error:
            yield BadRow(place=place, message=str(error), image=name, taxonomy=taxonomy, label=str(target))


def _word(target: Any, classes: Any) -> object:
    """A label as the file writes it: itself, its number among the classes, or with a confidence and attributes."""
    if isinstance(target, dict):
        if "bounding_box" in target:
            raise BadValueError("detections say nothing about the whole image")
        target = target.get("label")
    if not isinstance(target, int) or isinstance(target, bool):
        return target
    if not isinstance(classes, list) or not 0 <= target < len(classes):
        raise BadValueError(f"label number {target} is not in classes")
    return classes[target]


# -- both --------------------------------------------------------------------------------------------------------------
def _ref(path: str, options: ReadOptions) -> ObjectRef:
    return addresses.image(fields.text(path, "filepath").removeprefix(_MEDIA), options)


def _row(
    words: Sequence[object],
    taxonomy: str,
    ref: ObjectRef,
    place: Place,
    options: ReadOptions,
    *,
    stem: bool,
    whole: bool,
) -> Iterator[FileRow | Note]:
    labels = fields.mapped((word for word in words if word is not None), options)
    if labels is None:
        yield Note(what="labels that the map leaves out")
    elif not labels:
        yield Note(what="samples without a label")
    else:
        none = labels == (ABSTENTION,)
        yield FileRow(
            place=place,
            ref=ref,
            taxonomy=taxonomy,
            verdict=Verdict.NONE if none else Verdict.ACCEPT,
            labels=() if none else labels,
            whole=whole,
            without_extension=stem,
        )
