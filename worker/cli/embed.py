"""``enrich embed``."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, example_options, read
from worker.cli.read import Json

if TYPE_CHECKING:
    from worker.pipeline.reading.embed import Embeddings
    from worker.pipeline.reading.examples import Example
    from worker.settings import Settings
    from worker.types import Floats

#: Inputs at a time, which bounds the memory of files.
_AT_ONCE = 32
_SHOWN = 4  # numbers of a vector


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel=read.PANEL)(embed)


def embed(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE_OR_BUCKET/KEY...]", help="Files, or images of the catalog.")
    ] = None,
    *,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="TEXT", help="A text; may be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="TAXONOMY=LABEL", help="A label in use; may be repeated.")
    ] = None,
    space: Annotated[int | None, typer.Option(metavar="N", min=1, help="Another space than the active one.")] = None,
    npy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=context.output,
            help="Write the vectors as a NumPy array of float32, one row for each input.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print or save the vectors of files, images of the catalog, texts and labels, in this order.

    Vectors have unit length. Nothing is stored in the catalog.
    """
    names = [*(images or []), *(text or []), *(label or [])]
    if not names:
        raise typer.BadParameter("say what to embed: files, BUCKET/KEY, --text TEXT or --label TAXONOMY=LABEL")
    settings = context.load_settings()
    found = _embedded(settings, _examples(settings, images or [], text or [], label or []), space)
    if npy is not None:
        context.write_file(npy, _array(found.vectors))
    if as_json:
        from worker.api.embedding_models import embedding_list

        answer = embedding_list(found.space.id, found.space.model, found.vectors, found.tokens, as_base64=False)
        context.json_document(answer.model_dump(mode="json"))
    elif npy is None:
        _print(names, found.vectors)
    where = f" in {npy}" if npy is not None else ""
    n, d = found.vectors.shape
    context.say(f"{n:,} × {d:,} numbers{where}, of {found.space.model} in space {found.space.id}")


def _examples(
    settings: Settings, images: Sequence[str], texts: Sequence[str], labels: Sequence[str]
) -> list[Callable[[], Example]]:
    """Each to be made when it is its turn: a file is read only then."""
    from worker.pipeline.reading.examples import Words

    return [
        *(partial(example_options.image, name, most=settings.max_bytes) for name in images),
        *(partial(Words, text=each) for each in texts),
        *(partial(example_options.label, each) for each in labels),
    ]


def _embedded(settings: Settings, examples: Sequence[Callable[[], Example]], number: int | None) -> Embeddings:
    import numpy as np

    from worker import bootstrap
    from worker.bootstrap import reading
    from worker.pipeline.reading.embed import EmbeddingRequest, Embeddings, embed

    engine = context.database(settings, pool_size=2)
    use_case = reading.examples(settings, engine, bootstrap.search(settings, engine))
    space = use_case.space(number)
    parts = []
    for start in range(0, len(examples), _AT_ONCE):
        batch = tuple(each() for each in examples[start : start + _AT_ONCE])
        parts.append(embed(engine, use_case, EmbeddingRequest(examples=batch, space=space.id)))
    vectors = np.concatenate([part.vectors for part in parts])
    return Embeddings(space=space, vectors=vectors, tokens=sum(part.tokens for part in parts))


def _array(vectors: Floats) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    return buffer.getvalue()


def _print(names: Sequence[str], vectors: Floats) -> None:
    table = Table("input", "vector", box=None, pad_edge=False)
    for name, vector in zip(names, vectors, strict=True):
        first = ", ".join(f"{number:.4f}" for number in vector[:_SHOWN])
        table.add_row(context.name(name), f"[{first}, …]")
    context.out.print(table)
