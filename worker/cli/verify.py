"""``enrich verify``: the proof."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import SpinnerColumn, TextColumn

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.verify import Difference, Verification

_MEANING = {
    "missing": "listed, but neither enriched nor refused",
    "stale": "the bucket has other bytes than were read",
    "ghost": "known, but no longer in the bucket",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Operating it")(verify)


def verify(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET[/PREFIX]")],
    repair: Annotated[bool, typer.Option("--repair", help="Make every difference pending work.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines: one per difference, then one with the equation.")
    ] = False,
) -> None:
    """List a bucket and prove that every object in it is accounted for. Exit status 1 when one is not."""
    from worker import bootstrap, tasks

    settings = context.load_settings()
    name, _, prefix = bucket.partition("/")
    use_case = bootstrap.verify(settings, context.database(settings), tasks.Bell(settings).ring)
    with context.progress(SpinnerColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("listing …")
        found = use_case.run(
            name,
            prefix=prefix,
            repair=repair,
            progress=lambda listed: progress.update(task, description=f"{listed:,} objects compared"),
            report=_report_json if as_json else _report,
        )
    _conclude(found, as_json=as_json)
    raise typer.Exit(0 if found.holds else 1)


def _report(each: Difference) -> None:
    context.line(f"{each.kind:8} {context.name(each.key)}  ({_MEANING[each.kind]})")


def _report_json(each: Difference) -> None:
    context.json_line({"difference": asdict(each)})


def _conclude(found: Verification, *, as_json: bool) -> None:
    if as_json:
        context.json_line({"verification": {**asdict(found), "holds": found.holds}})
        return
    context.line(
        f"{found.listed:,} listed {'=' if found.holds else '≠'} {found.enriched:,} enriched "
        f"+ {found.excluded:,} excluded + {found.quarantined:,} quarantined + {found.pending:,} pending",
    )
    if not found.holds:
        context.line(f"{found.missing:,} missing, {found.stale:,} stale, {found.ghost:,} ghosts")
        done = (
            f"{found.repaired:,} are pending work now" if found.repaired else "run it again with --repair to mend them"
        )
        context.say(done)
