"""``enrich classify``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, example_options, filters, label_options, read

if TYPE_CHECKING:
    from worker.catalog.image_filter import ImageFilter
    from worker.errors import EnrichError
    from worker.pipeline.reading.classify import Classified, ClassifiedImage, Classifier, Picture, Question
    from worker.settings import Settings
    from worker.tagging import TaxonomyFile

#: Files that are read, encoded and answered at a time.
_FILES = 32
_ABSTAINED = "–"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel=read.PANEL)(classify)


def classify(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE_OR_BUCKET/KEY...]", help="Files, or images of the catalog.")
    ] = None,
    *,
    label: label_options.Labels = None,
    template: label_options.Templates = None,
    background: label_options.Background = None,
    many: label_options.Many = False,
    threshold: label_options.Threshold = None,
    margin: label_options.Margin = None,
    taxonomy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Instead of labels: a taxonomy in force; repeat it.")
    ] = None,
    definition: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Instead of labels: a taxonomy's file, in force or not; repeat it."),
    ] = None,
    place: Annotated[
        str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="All images of the catalog in this place.")
    ] = None,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    everything: Annotated[bool, typer.Option("--all", help="All images of the catalog.")] = False,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Most images of the catalog that match to classify.")
    ] = 100,
    top: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="With --json: most labels of each.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, in the API's format.")] = False,
) -> None:
    """Classify files, or images of the catalog, by labels or taxonomies. Nothing is stored.

    Prints the labels that hold. An image that cannot be read is named, and costs no other image its answer.
    """
    from worker.pipeline.reading.classify import Question

    labels = label_options.given_labels(
        label, templates=template, background=background, many=many, threshold=threshold, margin=margin
    )
    if sum(map(bool, (labels, taxonomy, definition))) != 1:
        raise typer.BadParameter("say by what, in one of three ways: --label, --taxonomy or --definition")
    wanted = filters.image_filter(
        place=place, tags=tag, any_tags=any_tag, no_tags=no_tag, conditions=conditions, json=filter_json
    )
    _require_one_choice(images, wanted, everything=everything)
    question = Question(labels=labels, taxonomies=tuple(taxonomy or ()), files=_files(definition or ()), top=top)
    settings = context.load_settings()
    classifier = _classifier(settings)
    if images:
        parts = _of_names(settings, classifier, images, question)
    else:
        parts = _of_filter(classifier, wanted, question, limit)
    if as_json:
        _write(parts)
    else:
        _print(parts)


def _require_one_choice(images: Sequence[str] | None, wanted: ImageFilter, *, everything: bool) -> None:
    ways = [bool(images), not wanted.is_empty, everything]
    if sum(ways) != 1:
        raise typer.BadParameter(
            "say which images, in one way: files or BUCKET/KEY; a filter (--in, --tag, --where …); or --all"
        )


def _files(paths: Sequence[Path]) -> tuple[TaxonomyFile, ...]:
    from worker import tagging

    return tagging.load_files([str(path) for path in paths], alone=False) if paths else ()


def _classifier(settings: Settings) -> Classifier:
    from worker import bootstrap
    from worker.bootstrap import reading
    from worker.pipeline.reading.classify import Classifier

    engine = context.database(settings, pool_size=2)
    return Classifier(engine, reading.examples(settings, engine, bootstrap.search(settings, engine)))


#: Names to show, with what was found out about each.
_Part = tuple[Sequence[str], "Classified"]


def _of_names(settings: Settings, classifier: Classifier, images: Sequence[str], question: Question) -> Iterator[_Part]:
    for start in range(0, len(images), _FILES):
        names = images[start : start + _FILES]
        yield names, classifier.images([_picture(name, settings) for name in names], question)


def _picture(name: str, settings: Settings) -> Picture | EnrichError:
    """The image; or why the file cannot be read, which costs no other image its answer."""
    from worker.errors import EnrichError

    try:
        return example_options.image(name, most=settings.max_bytes)
    except EnrichError as error:
        return error


def _of_filter(classifier: Classifier, wanted: ImageFilter, question: Question, limit: int) -> Iterator[_Part]:
    after, left = None, limit
    while left:
        page = classifier.page(wanted, question, limit=left, after=after)
        yield [str(each.picture.ref) for each in page.images], page  # type: ignore[union-attr]  # all are stored
        after, left = page.next, left - len(page.images)
        if after is None:
            return
    context.say(f"{limit:,} images are classified, and there are more: --limit N classifies more of them")


def _write(parts: Iterator[_Part]) -> None:
    from worker.api import classify_models

    done = 0
    for names, part in parts:
        answer = classify_models.classification(part, first=done)
        for name, each in zip(names, answer.images, strict=True):
            file = {} if each.image is not None else {"file": name}
            context.json_line({**file, **each.model_dump(mode="json"), "space": answer.space, "model": answer.model})
        done += len(names)


def _print(parts: Iterator[_Part]) -> None:
    table, problems = Table("image", "taxonomy", "label", "probability", "similarity", box=None, pad_edge=False), []
    for names, part in parts:
        for name, image in zip(names, part.images, strict=True):
            if image.problem is not None:
                message = str(image.problem)
                problems.append(message if message.startswith(name) else f"{context.name(name)}: {message}")
            for row in _rows(image):
                table.add_row(context.name(name), *row)
    if table.rows:
        context.out.print(table)
    for each in problems:
        context.err.print(context.printable(each), style="yellow")
    if problems and not table.rows:
        raise typer.Exit(1)


def _rows(image: ClassifiedImage) -> Iterator[tuple[str, str, str, str]]:
    """One for each label that holds; one for each taxonomy that gives none, with what came nearest."""
    for answer in image.answers:
        scores = {each.label: each for each in answer.labels}
        for label in answer.decided:
            found = scores.get(label)
            numbers = (f"{found.probability:.1%}", f"{found.similarity:.3f}") if found else ("", "")
            yield answer.taxonomy, context.name(label), *numbers
        if not answer.decided and answer.abstention is not None:
            missed = answer.abstention
            nearest = f"{_ABSTAINED} (nearest: {context.name(missed.nearest)}, {missed.reason})"
            yield answer.taxonomy, nearest, f"{missed.probability:.1%}", f"{missed.score:.3f}"
