"""``enrich taxonomy plan|apply|add|remove|history|rollback``: preview and apply changes of taxonomies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from worker.cli import abstentions, context, plan_report
from worker.cli.taxonomy import group

if TYPE_CHECKING:
    from worker.catalog.taxonomy_revisions import Action
    from worker.db import Engine
    from worker.pipeline.taxonomies.changes import Change
    from worker.pipeline.taxonomies.lifecycle import ApplyResult, History, HistoryEntry
    from worker.pipeline.taxonomies.plan import Plan
    from worker.pipeline.taxonomies.retag import RetagProgress
    from worker.settings import Settings

#: Of a command that changes taxonomies.
CONNECTIONS = 2  # the pool opens up to twice as many: one holds the lock, one reads ahead while another writes
_CHANGES = 3  # exit status of a plan that is not empty; 1 is an error, 2 an invalid command line
_NOTHING = "Nothing was changed."

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", callback=context.output, help="Also write the plan with pictures as one HTML file."
    ),
]
_Sample = Annotated[
    int | None, typer.Option("--sample", min=1, metavar="N", help="Images to examine. [default: 20000]")
]
_Full = Annotated[bool, typer.Option("--full", help="Examine all images: exact numbers.")]
_Remove = Annotated[
    bool, typer.Option("--remove", help="Remove taxonomies of this set (ENRICH_TAXONOMY_SET) that no file defines.")
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, and do not examine a sample first.")]


def register(_: typer.Typer) -> None:
    """Add the commands of this module to the group."""
    for command in (plan, apply, add, remove, history, rollback):
        group.command()(command)


def plan(
    sample: _Sample = None, full: _Full = False, html: _Html = None, remove: _Remove = False, as_json: _Json = False
) -> None:
    """Show what `apply` would change, scored from stored vectors. Changes nothing.

    Compares the files in ENRICH_TAXONOMIES with the tags in the catalog. What else is in force stays.
    Exit status 0: nothing would change; 3: something would; 1: an error; 2: an invalid command line.
    """
    from worker.errors import ConfigurationError

    if full and sample is not None:
        raise ConfigurationError("--full examines all images: leave --sample out")
    settings = context.load_settings()
    engine = context.database(settings)
    found = compare(settings, engine, _declared(settings, remove=remove), sample=sample, full=full)
    if html is not None:
        from worker.cli import pictures, plan_page

        shown = pictures.thumbnails_of(settings, plan_page.wanted(found))
        context.write_file(html, plan_page.page(found, shown).encode())
        context.say(f"{html} written")
    if as_json:
        context.json_document(asdict(found) | {"is_empty": found.is_empty})
    else:
        plan_report.show(found)
        if not found.is_empty:
            context.say(f"`enrich taxonomy apply{' --remove' if remove else ''}` does this")
    raise typer.Exit(0 if found.is_empty else _CHANGES)


def apply(remove: _Remove = False, yes: _Yes = False) -> None:
    """Put the files in ENRICH_TAXONOMIES into force, and bring all tags up to date. Workers follow by themselves.

    What else is in force stays. May be interrupted: running it again continues where it stopped.
    """
    settings = context.load_settings()
    _change(settings, _declared(settings, remove=remove), yes=yes)


def add(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files, directories or shipped names.")],
    yes: _Yes = False,
) -> None:
    """Put taxonomies into force beside all others, or in place of one of the same name.

    No file in ENRICH_TAXONOMIES is needed: `apply` keeps them until a file there has the same name.
    """
    from worker import tagging
    from worker.pipeline.taxonomies import changes

    loaded = tagging.load_files(files, alone=False)
    check = partial(tagging.check_conditions, loaded)
    _change(context.load_settings(), changes.added([each.taxonomy for each in loaded], check=check), yes=yes)


def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names as shown by `enrich taxonomy list`.")],
    yes: _Yes = False,
) -> None:
    """Remove taxonomies with their tags, except what people decided. `rollback` brings them back.

    If a file in ENRICH_TAXONOMIES defines one, the next `apply` adds it again.
    """
    from worker.pipeline.taxonomies import changes

    _change(context.load_settings(), changes.removed(names), yes=yes)


def history(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="Most revisions.")] = 20,
    as_json: _Json = False,
) -> None:
    """Show which taxonomies were in force when, who applied them, what changed, and how many images have tags of each
    version.
    """
    from worker.pipeline.taxonomies import lifecycle

    found = lifecycle.history(context.database(context.load_settings()), limit=limit)
    if as_json:
        context.json_document(asdict(found))
        return
    if not found.entries:
        context.line("no taxonomies are in force yet: start a worker or run `enrich taxonomy apply`")
        return
    for entry in found.entries:
        _show_entry(entry)
    _show_images(found)


def rollback(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TO]",
            help="A revision's number, or NAME@VERSION for one taxonomy. Default: the previous revision.",
        ),
    ] = None,
    yes: _Yes = False,
) -> None:
    """Put earlier taxonomies back into force, from the database, and bring all tags up to date.

    The files are not touched: until you change them back too, `plan` shows them as a change.
    """
    from worker.pipeline.taxonomies import lifecycle

    settings = context.load_settings()
    engine = context.database(settings, pool_size=CONNECTIONS)
    number, change = lifecycle.content(engine, target)
    _change(settings, change, engine=engine, yes=yes, action="rollback", back_to=number)


def _declared(settings: Settings, *, remove: bool) -> Change:
    """What the files of ENRICH_TAXONOMIES say."""
    from worker import tagging
    from worker.errors import ConfigurationError
    from worker.pipeline.taxonomies import changes

    if "taxonomies" not in settings.model_fields_set:
        if remove:
            raise ConfigurationError(
                "--remove compares with the files of ENRICH_TAXONOMIES, which is not set here: set it, or remove "
                "single taxonomies with `enrich taxonomy remove`. Nothing was changed"
            )
        context.say("ENRICH_TAXONOMIES is not set: the shipped taxonomies are compared")
    files = tagging.load_files(settings.taxonomies, alone=False)
    return changes.declared(
        [each.taxonomy for each in files],
        own=settings.taxonomy_set,
        remove=remove,
        check=partial(tagging.check_conditions, files),
    )


def _change(
    settings: Settings,
    change: Change,
    *,
    yes: bool,
    engine: Engine | None = None,
    action: Action = "apply",
    back_to: int | None = None,
) -> None:
    """Show what a change does and ask, unless ``yes``; then apply it."""
    engine = engine or context.database(settings, pool_size=CONNECTIONS)
    planned = None
    if not yes:
        found = compare(settings, engine, change, sample=None, full=False)
        plan_report.show(found, source="the files" if action == "apply" else "these taxonomies")
        if found.is_empty:
            return
        context.confirm("Apply this?" if action == "apply" else "Go back to this?", declined=_NOTHING)
        planned = found.revision or 0
    done = put_into_force(settings, engine, change, action=action, back_to=back_to, planned=planned)
    tell(done, undo=action == "apply")


def compare(settings: Settings, engine: Engine, change: Change, *, sample: int | None, full: bool) -> Plan:
    """What a change would do, with a bar that shows how far the comparison is."""
    from worker import bootstrap
    from worker.pipeline.taxonomies import plan as use_case

    size = None if full else sample or use_case.SAMPLE
    with _bar("comparing") as show:
        return use_case.plan(engine, change, bootstrap.builder(settings, engine), sample=size, progress=show)


def put_into_force(
    settings: Settings,
    engine: Engine,
    change: Change,
    *,
    action: Action = "apply",
    back_to: int | None = None,
    planned: int | None,
) -> ApplyResult:
    """Apply a change, with a bar that shows how far it is."""
    from worker import bootstrap
    from worker.pipeline.taxonomies import lifecycle

    build = bootstrap.builder(settings, engine)
    try:
        with _bar("tagging") as show:
            return lifecycle.apply(
                engine, change, build, action=action, back_to=back_to, planned=planned, progress=show
            )
    except KeyboardInterrupt:
        context.say(
            "interrupted: the tags written so far are kept, and workers use the new taxonomies if they are in force; "
            "`enrich taxonomy history` shows how far it is, and the same command continues from there"
        )
        raise typer.Exit(130) from None


def tell(done: ApplyResult, *, undo: bool) -> None:
    """Say what was applied."""
    what = "is in force" if done.is_new else "was already in force"
    back = "; `enrich taxonomy rollback` goes back" if undo and done.is_new and done.revision > 1 else ""
    context.say(
        f"revision {done.revision} {what}: {done.images:,} images compared, labels of {done.changed:,} changed{back}"
    )
    for name, owner in done.moved.items():
        context.say(f"{name} now belongs to the set {owner}")
    for name, found in done.abstentions.items():
        context.say(f"{name}: {abstentions.sentence(found)}")
    for space in done.others:
        context.say(f"space {space} is not active and was left alone: `enrich space fill {space}` retags it")


@contextmanager
def _bar(what: str) -> Iterator[Callable[[RetagProgress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with context.progress(*columns) as bar:
        task = bar.add_task(what, total=None)
        yield lambda step: bar.update(task, completed=step.done, total=step.total)


# -- history -----------------------------------------------------------------------------------------------------------
def _show_entry(entry: HistoryEntry) -> None:
    revision = entry.revision
    what = f"rollback to {revision.back_to}" if revision.back_to else revision.action
    when = revision.made_at.isoformat(sep=" ", timespec="seconds")
    now = "  (in force)" if entry.is_current else ""
    context.line(f"{revision.id}  {when}  {revision.made_by}  {what}{now}", style="bold" if entry.is_current else None)
    for each in entry.edits:
        context.line(f"   {plan_report.headline(each)}")
        for line in plan_report.shortened(each.edits):
            context.line(f"       {line}")
    for run in entry.retaggings:
        if run.images or run.finished_at is None:
            state = "all" if run.finished_at else "unfinished:"
            context.line(
                f"   space {run.space}: {state} {run.images:,} images compared, labels of {run.changed:,} changed"
            )


def _show_images(found: History) -> None:
    if not found.images:
        return
    current = dict(found.entries[0].revision.versions)
    table = Table("taxonomy", "version", "images", "", box=None, pad_edge=False)
    for each in found.images:
        state = "in force" if current.get(each.name) == each.version else "older"
        table.add_row(each.name, each.version, f"{each.images:,}", state)
    context.line("")
    context.out.print(table)
