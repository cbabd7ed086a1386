"""``enrich similarity``: how similar a few things are to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import api_client, context, example_arguments, read
from worker.cli.read import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.api.search_models import SimilarityTable
    from worker.settings import Settings

_LONGEST = 40  # characters of a name in the table


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel=read.PANEL)(similarity)


def similarity(
    examples: Annotated[
        list[str], typer.Argument(metavar="EXAMPLE EXAMPLE…", help=f"What to compare: {example_arguments.FORMS}.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Compare texts, files, images of the catalog and labels with each other, by their vectors."""
    request = {"examples": [example_arguments.parsed(each) for each in examples]}
    found = _compared(context.load_settings(), request)
    if as_json:
        context.json_document(found.model_dump(mode="json"))
        return
    names = [context.name(each if len(each) <= _LONGEST else f"{each[: _LONGEST - 1]}…") for each in examples]
    _print(names, found)


def _compared(settings: Settings, request: Mapping[str, Any]) -> SimilarityTable:
    from pydantic import ValidationError

    from worker.api import problems, search_answers
    from worker.api.search_models import SimilarityRequest, SimilarityTable
    from worker.bootstrap import reading
    from worker.pipeline.reading.similarity import similarities

    answer = api_client.answered(settings, "/v1/similarity", request, SimilarityTable)
    if answer is not None:
        return answer
    try:
        asked = SimilarityRequest.model_validate(dict(request))
    except ValidationError as error:
        raise typer.BadParameter(problems.complaints(error.errors(), of="similarity")) from error
    _, vectors = reading.search(settings, context.database(settings))
    given = [each.value(f"examples[{number}]") for number, each in enumerate(asked.examples)]
    return search_answers.similarity_table(similarities(vectors, given))


def _print(names: Sequence[str], found: SimilarityTable) -> None:
    table = Table("", *(str(number) for number in range(1, len(names) + 1)), box=None, pad_edge=False)
    for number, (name, row) in enumerate(zip(names, found.similarities, strict=True), start=1):
        table.add_row(f"{number} {name}", *(f"{each:.3f}" for each in row))
    context.out.print(table)
    if len(set(found.modalities)) > 1:
        context.say(
            "cosines of a text and an image are lower by nature than those of two images or two texts: compare like "
            "with like"
        )
