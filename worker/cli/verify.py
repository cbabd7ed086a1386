"""``enrich verify``: prove that every object in a bucket is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, SpinnerColumn, TextColumn

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.reconciliation.verify import Discrepancy, Verification, Verifier

_HOLDS, _DOES_NOT_HOLD, _COULD_NOT_COMPARE = 0, 1, 3
_MEANING = {
    "missing": "listed, but neither enriched nor refused",
    "incomplete": "lacks its vector, or the decision of a taxonomy in force",
    "stale": "the bytes in the bucket are not those that were read",
    "ghost": "known, but no longer in the bucket",
    "unnameable": "listed under a key that cannot be recorded: copy the object to a plain one",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Operating it")(verify)


def verify(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET[/PREFIX]")],
    prefix: Annotated[str, typer.Option("--prefix", metavar="PREFIX", help="Only keys with this prefix.")] = "",
    repair: Annotated[bool, typer.Option("--repair", help="Make every difference pending work.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines: one per difference, then one with the equation.")
    ] = False,
) -> None:
    """List a bucket and prove that every object in it is accounted for.

    Exit status 0 if it is, 1 if it is not, 3 if the comparison broke off and nothing was proved.
    """
    from worker import bootstrap

    name, _, rest = bucket.partition("/")
    if rest and prefix:
        raise typer.BadParameter("give the prefix once: BUCKET/PREFIX, or BUCKET --prefix PREFIX")
    with _concluding_nothing_on_failure():
        settings = context.load_settings()
        use_case = bootstrap.verify(settings, context.database(settings), context.notifier(settings))
        found = _run(use_case, name, rest or prefix, repair=repair, as_json=as_json)
        _conclude(found, as_json=as_json)
    miscounted = found.miscounts or found.space_miscounts
    raise typer.Exit(_HOLDS if found.holds and not miscounted else _DOES_NOT_HOLD)


def _run(use_case: Verifier, bucket: str, prefix: str, *, repair: bool, as_json: bool) -> Verification:
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
    with context.progress(*columns) as progress:
        expected = use_case.expected(bucket, prefix=prefix)
        task = progress.add_task("listing …", total=expected or None)

        def show(listed: int) -> None:
            # The planner's estimate may be too low, and buckets grow: a full bar becomes one without a total.
            total = expected if listed <= expected else None
            progress.update(task, completed=listed, total=total, description=f"{listed:,} objects compared")

        return use_case.run(
            bucket, prefix=prefix, repair=repair, progress=show, report=_report_json if as_json else _report
        )


@contextmanager
def _concluding_nothing_on_failure() -> Iterator[None]:
    """A proof that broke off proves nothing either way: that has its own exit status."""
    try:
        yield
    except KeyboardInterrupt:
        context.say("interrupted: nothing is proved; repairs made so far are kept")
        raise
    except (BrokenPipeError, SystemExit):  # the reader of our output is gone: rich then ends the process
        raise typer.Exit(_COULD_NOT_COMPARE) from None
    except Exception as error:
        sentence = context.sentence(error)
        if sentence is None:
            raise
        context.say(f"enrich: nothing is proved: {sentence}")
        raise typer.Exit(_COULD_NOT_COMPARE) from error


def _report(each: Discrepancy) -> None:
    context.line(f"{each.kind:10} {context.name(each.key)}  ({_MEANING[each.kind]})")


def _report_json(each: Discrepancy) -> None:
    context.json_line({"difference": asdict(each)})


def _conclude(found: Verification, *, as_json: bool) -> None:
    if as_json:
        context.json_line({"verification": {**asdict(found), "holds": found.holds}})
        return
    context.line(
        f"{found.listed:,} listed {'=' if found.holds else '≠'} {found.enriched:,} enriched "
        f"+ {found.excluded:,} excluded + {found.quarantined:,} quarantined + {found.pending:,} pending",
    )
    if found.pending:
        context.say(f"oldest pending: {context.duration(found.oldest_pending_seconds)}; `enrich status` lists workers")
    if not found.holds:
        _explain(found)
    for each in found.miscounts:
        state = f"{each.state} (retry reason {each.reason})" if each.reason else each.state
        _print_miscount(f"{each.counted:,} {state}", f"{each.recounted:,}")
    for of in found.space_miscounts:
        _print_miscount(f"{of.counted:,} {of.state} in space {of.space_id}", f"{of.recounted:,}")


def _print_miscount(counted: str, recounted: str) -> None:
    context.line(f"miscounted: {counted} by the counters, {recounted} by counting; --repair corrects the counters")


def _explain(found: Verification) -> None:
    context.line(
        f"{found.missing:,} missing, {found.incomplete:,} incomplete, {found.stale:,} stale, {found.ghost:,} ghosts"
        + (f", {found.unnameable:,} unnameable" if found.unnameable else "")
    )
    if found.repaired:
        context.say(f"{found.repaired:,} are now pending")
    elif found.missing + found.incomplete + found.stale + found.ghost:
        context.say("run again with --repair to repair them")
