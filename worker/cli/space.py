"""``enrich space``: which model's vectors answer searches, and how to change it while everything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from worker.cli import context, space_comparison
from worker.types import FillSource

if TYPE_CHECKING:
    from worker.catalog.spaces import FilledSpace
    from worker.pipeline.spaces.fill import FillProgress, FillResult
    from worker.pipeline.spaces.preview_parity import PreviewParity

_group = typer.Typer(no_args_is_help=True, help="Embedding spaces, one per model.")
_Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Number as shown by `enrich space list`.")]
_SHOWN_FAILURES = 10
#: Originals read for a comparison at the end of a fill from previews.
_COMPARED = 100


_STAGES = {
    "filling": "embedding",
    "waiting": "waiting: live uploads go first",
    "tagging": "retagging",
    "indexing": "building the index",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="space", rich_help_panel="Operating it")


@_group.command("list")
def list_spaces(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List all spaces, and how many images have a vector in each."""
    from worker.pipeline.spaces import lifecycle as use_case

    engine = context.database(context.load_settings())
    found = use_case.filled(engine)
    if as_json:
        context.json_document([asdict(each) for each in found])
        return
    table = Table(box=None, pad_edge=False)
    numbers = ("images", "from previews", "failed", "GB")
    for name in ("space", "model", "revision", "dimension", "state", *numbers[:3], "index", "GB"):
        table.add_column(name, justify="right" if name in numbers else "left")
    for each in found:
        table.add_row(*_row(each))
    if not found:
        context.line("no image has been embedded yet")
        return
    context.out.print(table)
    for each in found:
        if each.state != "retired":
            _tell_unlearned(use_case.unlearned(engine, each.id), each.id)


def _tell_unlearned(names: Sequence[str], space: int) -> None:
    """Heads belong to one space."""
    for name in names:
        context.say(f"the head of {name} is not learned in space {space}: `enrich learn {name} --space {space}`")


def _row(each: FilledSpace) -> tuple[str, ...]:
    return (
        str(each.id),
        each.model,
        each.revision[:12],
        str(each.dimension),
        each.state,
        f"{each.images:,}",
        f"{each.from_previews:,}",
        f"{each.failed:,}",
        "yes" if each.indexed else "no",
        f"{each.bytes / 1e9:,.2f}",
    )


@_group.command()
def create(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`starter`, a hub id, or a directory.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REVISION", help="For a hub id: commit, tag or branch. Pin a commit."),
    ] = None,
) -> None:
    """Create a space for a model. From then on new uploads are embedded in it, too. Searches do not read it yet."""
    from worker import bootstrap
    from worker.pipeline.spaces import lifecycle as use_case

    settings = context.load_settings()
    engine = context.database(settings)
    made = use_case.create(engine, bootstrap.source_of(model, revision), bootstrap.loader(settings))
    if made.state == "active":
        context.say(f"space {made.id} ({made.model}) is the active one")
        return
    context.say(f"space {made.id} ({made.model}) is {made.state}; `enrich space fill {made.id}` embeds existing images")


@_group.command()
def fill(
    space: _Number,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also retry images that the model could not embed before.")
    ] = False,
    source: Annotated[
        FillSource | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="`previews`: read the previews of ENRICH_PREVIEWS in place of the originals, where there are. "
            "`originals`: also replace vectors that were made from previews.",
        ),
    ] = None,
) -> None:
    """Embed all images whose vector is missing in a space, tag them, and build its index. Live uploads go first.

    May be stopped and restarted, and run on several machines at once. With `--from previews`, it ends with a comparison
    of a sample with its originals.
    """
    from worker import process
    from worker.errors import ConfigurationError
    from worker.open_database import database
    from worker.pipeline.spaces import lifecycle as use_case
    from worker.pipeline.spaces import preview_parity

    settings = context.load_settings()
    if source is FillSource.PREVIEWS and settings.previews is None:
        raise ConfigurationError(
            "there are previews only of images that somebody looked at: set ENRICH_PREVIEWS, for workers and here, to "
            "s3://BUCKET/PREFIX or local, so that there are previews of all images that are enriched"
        )
    engine = database(settings, "fill", pool_size=settings.concurrency + 2)
    found = use_case.get(engine, space)
    with _progress() as show, process.filling(settings, engine, found, show, source) as use:
        done = use.run(retry_failed=retry_failed)
        compared = preview_parity.measure(use.filler, sample=_COMPARED) if done.from_previews else None
    for each in use_case.failures(engine, space, limit=_SHOWN_FAILURES):
        context.line(f"{context.name(f'{each.bucket}/{each.key}')}: {each.error}")
    context.say(_sentence(done, source))
    if compared is not None:
        context.say(_parity_sentence(compared, space))
    if not done.missing:
        _tell_unlearned(use_case.unlearned(engine, space), space)
    raise typer.Exit(1 if done.missing else 0)


def _sentence(done: FillResult, source: FillSource | None) -> str:
    parts = [f"{done.filled:,} images embedded"]
    if source is FillSource.PREVIEWS:
        rest = done.filled - done.from_previews
        parts.append(f"{done.from_previews:,} from their previews, {rest:,} from originals")
    if done.tagged:
        parts.append(f"{done.tagged:,} retagged")
    if done.failed:
        parts.append(f"{done.failed:,} cannot be embedded (--retry-failed tries them again)")
    if done.missing:
        parts.append(
            f"{done.missing:,} still missing: their objects have changed since they were enriched, or the store was "
            "unavailable; let workers finish what is pending, and run this again"
        )
    else:
        parts.append(
            f"space {done.space} is full: `enrich space compare {done.space}`, `enrich space activate {done.space}`"
        )
    return "; ".join(parts)


def _parity_sentence(found: PreviewParity, space: int) -> str:
    how = (
        f"vectors from previews compared with those from {found.images:,} originals: mean cosine {found.mean:.4f}, "
        f"5 % below {found.low:.4f}, least {found.least:.4f}; same tags for {found.same_tags:.1%}"
    )
    if found.preview_bytes:
        how += f"; {found.original_bytes / found.preview_bytes:,.0f} times fewer bytes read"
    if found.is_sufficient:
        return how
    return f"{how}. The mean is below 0.99: `enrich space fill {space} --from originals` replaces these vectors"


@_group.command()
def parity(
    space: _Number,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Most originals to read.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Compare vectors that were made from previews with those of the originals, which are read for this.

    Exit status 1 if the mean cosine is below 0.99.
    """
    from worker import process
    from worker.errors import NotFoundError
    from worker.open_database import database
    from worker.pipeline.spaces import lifecycle as use_case
    from worker.pipeline.spaces import preview_parity

    settings = context.load_settings()
    engine = database(settings, "parity", pool_size=settings.concurrency + 2)
    found = use_case.get(engine, space)
    with process.filling(settings, engine, found) as use:
        compared = preview_parity.measure(use.filler, sample=sample)
    if compared is None:
        raise NotFoundError(f"space {space} has no vector from a preview whose original can be read")
    if as_json:
        context.json_document(asdict(compared))
    else:
        context.line(_parity_sentence(compared, space))
    raise typer.Exit(0 if compared.is_sufficient else 1)


@contextmanager
def _progress() -> Iterator[Callable[[FillProgress], None]]:
    """A progress bar on stderr; disabled if stderr is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with context.progress(*columns) as bar:
        task = bar.add_task("loading the model", total=None)

        def show(step: FillProgress) -> None:
            bar.update(task, description=_STAGES[step.stage], completed=step.done, total=step.total)

        yield show


_group.command()(space_comparison.compare)


@_group.command()
def activate(
    space: _Number,
    force: Annotated[bool, typer.Option("--force", help="Even if vectors are missing in it.")] = False,
) -> None:
    """Make searches, views and tag filters answer from this space, at once for all readers.

    New uploads are still embedded in the previous space, so that you can go back just as quickly.
    """
    from worker.pipeline.spaces import lifecycle as use_case

    engine = context.database(context.load_settings())
    with _progress() as show:
        done = use_case.activate(engine, space, force=force, progress=show)
    if done.failed:
        context.say(f"{done.failed:,} images have no vector in it: its model cannot embed them")
    back = (
        f"; `enrich space activate {done.before}` goes back, `enrich space retire {done.before}` stops embedding in it"
        if done.before is not None
        else ""
    )
    context.say(f"space {space} is active{back}")
    _tell_unlearned(done.unlearned, space)


@_group.command()
def retire(space: _Number) -> None:
    """Stop embedding new uploads in a space. Its vectors and tags are kept."""
    from worker.pipeline.spaces import lifecycle as use_case

    use_case.retire(context.database(context.load_settings()), space)
    context.say(f"space {space} is retired; `enrich space fill {space}` brings it up to date again")


@_group.command()
def drop(
    space: _Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a space: its vectors, its index and its tags. The only way back is to fill it again."""
    from worker.pipeline.spaces import lifecycle as use_case

    engine = context.database(context.load_settings())
    size = f"{use_case.size(engine, space) / 1e9:,.2f} GB"
    if not yes:
        context.confirm(f"Delete space {space} with its tags, and free {size}?", declined="Nothing was deleted.")
    with context.progress(TextColumn("{task.description}")) as bar:
        task = bar.add_task("deleting tags", total=None)
        count = 0

        def deleted(tags: int) -> None:
            nonlocal count
            count += tags
            bar.update(task, description=f"{count:,} tags deleted")

        use_case.drop(
            engine, space, deleted=deleted, waiting=lambda why: bar.update(task, description=f"waiting: {why}")
        )
    context.say(f"space {space} is deleted: {count:,} tags deleted, {size} freed")


@_group.command()
def check(
    space: _Number,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Use the vectors that the model produces here as the reference from now on."),
    ] = False,
) -> None:
    """Load a space's model and check that it produces the same vectors here as those stored in the space.

    Exit status 78 if they differ. Workers run the same check when they start.
    """
    from worker import bootstrap
    from worker.pipeline.spaces import golden_check
    from worker.pipeline.spaces import lifecycle as use_case
    from worker.pipeline.spaces.model_loading import load_for

    settings = context.load_settings()
    engine = context.database(settings)
    found = use_case.get(engine, space)
    model = load_for(found, bootstrap.source(settings), bootstrap.loader(settings))
    if accept:
        golden_check.accept(engine, found, model)
    golden_check.require(engine, found, model)
    context.say(f"{model.space.model} produces the same vectors here as those stored in space {space}")
