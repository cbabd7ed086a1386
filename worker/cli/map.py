"""``enrich map``: the 2-D map of all images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker.cli import context
from worker.cli.read import Json

if TYPE_CHECKING:
    from worker.catalog.maps import Map
    from worker.pipeline.maps.requests import MapView

_group = typer.Typer(
    no_args_is_help=True, help="The 2-D map of all images: draw it, keep it up to date, list versions."
)
#: Background work: whatever else wants the processor comes first.
_NICENESS = 19


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="map", rich_help_panel="Operating it")


@_group.command("list")
def list_maps(*, as_json: Json = False) -> None:
    """List the maps of all spaces, newest first. Of each space, two that are ready are kept."""
    from worker.api.map_models import MapList
    from worker.pipeline.maps import requests as use_case

    found = use_case.maps(context.database(context.load_settings()))
    if as_json:
        context.json_document(MapList.of(found).model_dump(mode="json"))
        return
    table = Table(box=None, pad_edge=False)
    numbers = ("images", "fitted", "poorly placed", "as before")
    for name in ("map", "space", "state", "method", *numbers, "drawn"):
        table.add_column(name, justify="right" if name in numbers else "left")
    for each in found:
        table.add_row(*_row(each))
    context.out.print(table if found else "there is no map yet: `enrich map draw` draws one")
    for each in found:
        if each.map.error:
            context.say(f"map {each.map.id} was not drawn: {each.map.error}")


def _row(view: MapView) -> tuple[str, ...]:
    each = view.map
    state = f"{each.state} (shown)" if view.current else each.state
    drawn = each.finished_at.isoformat(sep=" ", timespec="minutes") if each.finished_at else ""
    if each.state != "ready":
        return (str(each.id), str(each.space), state, each.method, "", "", "", "", drawn)
    as_before = "" if each.explained is None else f"{each.explained:.0%}"
    counts = (f"{each.images:,}", f"{each.fitted:,}", f"{each.poor_share:.1%}", as_before)
    return (str(each.id), str(each.space), state, each.method, *counts, drawn)


@_group.command()
def draw(
    *,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="METHOD",
            help="`umap` shows groups best, and needs the extra `map`; `auto`: UMAP if it is installed, else `pca`.",
        ),
    ] = "auto",
    sample: Annotated[
        int, typer.Option(metavar="N", min=100, max=50_000, help="Images that the map is fitted to; others are placed.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=(1 << 31) - 1, help="Of the sample and of UMAP.")] = 0,
) -> None:
    """Draw a map of the active space now, in this process. The map before is shown until it is ready.

    The same images, sample and seed give the same map. It is turned so that it lies like the map before.
    """
    _in_the_background()
    from worker import catalog, db
    from worker.errors import ApplyingError
    from worker.pipeline.maps import requests
    from worker.pipeline.maps.draw import draw as use_case

    engine = context.database(context.load_settings(), pool_size=2)
    wanted = requests.MapRequest(method=requests.asked(method), sample=sample, seed=seed)
    requested, is_new = requests.request(engine, wanted, draws_here=True)
    with db.transaction(engine) as connection:
        begun = catalog.maps.begin(connection, requested.id) if is_new else None
    if begun is None:
        raise ApplyingError(f"map {requested.id} is being drawn by another process: `enrich map list` shows it")
    with _progress() as show:
        drawn = use_case(engine, begun, show)
    context.say(_sentence(drawn))


def _sentence(drawn: Map) -> str:
    found = f"map {drawn.id}: {drawn.images:,} images, {drawn.fitted:,} of them fitted by {drawn.method}"
    if drawn.images > drawn.fitted:
        found += f", {drawn.poor_share:.1%} of the others poorly placed"
    if drawn.explained is not None:
        found += f"; turned onto map {drawn.previous}, whose shape it follows by {drawn.explained:.0%}"
    return found


@_group.command()
def update() -> None:
    """Place images on the map that were added since it was drawn, in this process. Others stay where they are."""
    _in_the_background()
    from worker import db
    from worker.pipeline.maps import requests
    from worker.pipeline.maps.update import update as use_case

    engine = context.database(context.load_settings(), pool_size=2)
    with db.transaction(engine) as connection:
        map_ = requests.current(connection)
    with _progress() as show:
        done = use_case(engine, map_, lambda part: show("placing", part))
    context.say(f"{done.added:,} images were placed on map {map_.id}, which has {done.map.images:,}")
    if done.is_worn:
        context.say(f"{done.map.poor_share:.1%} of them are poorly placed: draw a new map with `enrich map draw`")


@_group.command(hidden=True)
def run() -> None:
    """Draw and update what was asked for, then exit. The scheduler starts this."""
    _in_the_background()
    with suppress(OSError):  # where memory runs out, Linux ends this process and not the scheduler
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    from worker.open_database import database
    from worker.pipeline.maps.run import run_requested

    engine = database(context.process_settings(), "map", pool_size=2)
    raise typer.Exit(1 if run_requested(engine) else 0)


def _in_the_background() -> None:
    # Before numpy is imported: one thread, so that other processes keep their cores, and sums have one order.
    for threads in ("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    os.nice(_NICENESS)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with context.progress(*columns) as bar:
        task = bar.add_task("sampling", total=1.0)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)
