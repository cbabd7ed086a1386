"""Operating the system: ``enrich status``, ``reconcile``, ``backfill`` and ``rejected``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import SpinnerColumn, TextColumn
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.ledger.reconciliations import Reconciliation
    from worker.pipeline.operations import system_status
    from worker.pipeline.operations.throughput import Throughput
    from worker.pipeline.reconciliation.backfill import BackfillProgress

_PANEL = "Operating it"
_MINUTE = 60  # seconds
_SHOWN_OF_AN_ERROR = 120  # characters
_SHOWN_OF_A_BODY = 2_000  # characters; --json has all of it
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=_PANEL)(status)
    app.command(rich_help_panel=_PANEL)(reconcile)
    app.command(rich_help_panel=_PANEL)(backfill)
    app.command(rich_help_panel=_PANEL)(rejected)


def status(
    bucket: Annotated[str | None, typer.Option(metavar="NAME", help="Only this bucket.")] = None, as_json: _Json = False
) -> None:
    """Show how many objects are in each state, which processes are running, and which spaces exist."""
    from worker.pipeline.operations import system_status, throughput

    engine = context.database(context.load_settings())
    found, speed = system_status.overview(engine, bucket=bucket), throughput.throughput(engine)
    if as_json:
        context.json_document({**asdict(found), "throughput": asdict(speed)})
        return
    _print_totals(found)
    _print_throughput(speed)
    _print_retrying(found)
    _print_processes(found)
    _print_spaces(found)
    _print_reconciliations(found.reconciliations)
    if found.feed_blocker is not None:
        blocker = found.feed_blocker
        since = f" since {blocker.since:%F %T} UTC" if blocker.since else ""
        context.line(
            f"the change feed waits for an open transaction: database process {blocker.pid}, "
            f"{context.name(blocker.application)}{since}"
        )
    _print_reviews(found.reviews)
    _print_proofs(found.reviews)
    if found.rejected_events:
        context.line(f"{found.rejected_events:,} notifications were rejected or ignored: see `enrich rejected`")


def _print_reviews(reviews: system_status.Reviews) -> None:
    if reviews.newest is not None:
        by = "1 person" if reviews.reviewers == 1 else f"{reviews.reviewers:,} people"
        context.line(f"{reviews.decisions:,} decisions by {by}, the last at {reviews.newest:%Y-%m-%d %H:%M} UTC")
    for each in reviews.open:
        what = f"{each.taxonomy}={each.label}" if each.label else each.taxonomy
        context.line(f"review plan {each.plan}, {context.name(what)}: {each.remaining:,} of {each.items:,} images left")
    if reviews.open_plans > len(reviews.open):
        context.line(f"{reviews.open_plans - len(reviews.open):,} more review plans are open: `enrich review --plans`")


def _print_proofs(reviews: system_status.Reviews) -> None:
    if reviews.proven or reviews.expired:
        labels = "1 label" if reviews.proven == 1 else f"{reviews.proven:,} labels"
        expired = f"; expired for {reviews.expired:,}: `enrich calibrate`" if reviews.expired else ""
        context.line(f"precision is proven for {labels}{expired}")


def _print_totals(found: system_status.SystemStatus) -> None:
    totals = found.totals
    table = Table("objects", "count", title=None, box=None, pad_edge=False)
    table.columns[1].justify = "right"
    lanes = f"{totals.pending_live} live, {totals.pending_retry} retry, {totals.pending_backfill} backfill"
    rows: list[tuple[str, Any]] = [
        ("enriched", totals.enriched),
        ("excluded (not images)", totals.excluded),
        ("quarantined", totals.quarantined),
        ("gone (deleted from the bucket)", totals.gone),
        (f"pending ({lanes}; {totals.in_flight} in progress)", totals.pending),
    ]
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    context.out.print(table, "")
    if totals.pending:
        context.line(f"oldest pending: {context.duration(totals.oldest_pending_seconds)}")


def _print_throughput(speed: Throughput) -> None:
    if not speed.last_hour:
        return
    about = "" if speed.exact else "about "
    context.line(
        f"enriched: {about}{speed.last_minute:,} in the last minute, {about}{speed.last_hour:,} in the last hour"
    )
    if speed.latency is not None:
        context.line(
            f"from event to searchable: half within {_latency(speed.latency.median)}, 95 % within "
            f"{_latency(speed.latency.p95)}"
        )


def _latency(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTE else context.duration(seconds)


def _print_retrying(found: system_status.SystemStatus) -> None:
    table = Table("retry reason", "objects", "example", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for each in found.retrying:
        table.add_row(each.reason, f"{each.objects:,}", context.name(each.example)[:_SHOWN_OF_AN_ERROR])
    if found.retrying:
        context.out.print("", table, "", sep="\n")


def _print_processes(found: system_status.SystemStatus) -> None:
    table = Table("process", "working on", "last seen", "model", box=None, pad_edge=False)
    running = [each for each in found.processes if each.refused is None]
    for each in running:
        table.add_row(
            each.name,
            _batches(each.in_flight),
            f"{context.duration(each.seen_ago)} ago",
            (each.model or "").split(":")[0],
        )
    context.out.print(table if running else "no worker or scheduler is running", "")
    for each in found.processes:
        if each.waiting:
            context.line(f"{each.name} is waiting: {each.waiting}")
        if each.refused:
            context.line(f"{each.name} refused to start, {context.duration(each.seen_ago)} ago: {each.refused}")


def _batches(count: int) -> str:
    return {0: "nothing", 1: "1 batch"}.get(count, f"{count:,} batches")


def _print_spaces(found: system_status.SystemStatus) -> None:
    table = Table("space", "model", "revision", "dimension", "state", "missing vectors", box=None, pad_edge=False)
    table.columns[-1].justify = "right"
    for each in found.spaces:
        missing = f"{found.owed[each.id]:,}" if each.id in found.owed else ""
        table.add_row(str(each.id), each.model, each.revision[:12], str(each.dimension), each.state, missing)
    if found.spaces:
        context.out.print(table, "")


def _print_reconciliations(found: Sequence[Reconciliation]) -> None:
    table = Table("reconciled", "last round", "objects", "new", "changed", "deleted", "state", box=None, pad_edge=False)
    for each in found:
        table.add_row(
            context.name(f"{each.bucket}/{each.prefix}".rstrip("/")),
            f"{context.duration(each.age)} ago" if each.finished_at else "never",
            f"{each.last_listed:,}",
            f"{each.last_missing:,}",
            f"{each.last_stale:,}",
            f"{each.last_ghost:,}",
            context.name(_state(each)),
        )
    if found:
        context.out.print(table, "")


def _state(each: Reconciliation) -> str:
    if each.last_error:
        return f"failed: {each.last_error}"
    if each.cursor is not None:
        return f"{each.listed:,} compared, up to {each.cursor}" if each.cursor else "starting"
    return f"next in {context.duration(each.due_in)}"


def reconcile(
    target: Annotated[
        str | None, typer.Argument(metavar="[BUCKET[/PREFIX]]", help="Start its next round now.", show_default=False)
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show how far the scheduler has reconciled each watched bucket; with a bucket, start its next round now."""
    from worker.ledger.reconciliations import Target
    from worker.pipeline.reconciliation import reconcile as use_case

    settings = context.load_settings()
    engine = context.database(settings)
    if target is not None:
        bucket, _, prefix = target.partition("/")
        settings.watched.require(bucket, prefix)
        use_case.make_due(engine, Target(bucket=bucket, prefix=prefix))
        context.say(f"{context.name(target)}: the next round is due now, if a scheduler runs")
    found = use_case.states(engine)
    if as_json:
        context.json_document([asdict(each) for each in found])
    elif found:
        _print_reconciliations(found)
    else:
        context.line("nothing has been reconciled yet: run `enrich scheduler` with ENRICH_RECONCILE_SECONDS above 0")


def backfill(
    bucket: Annotated[str, typer.Argument(metavar="BUCKET[/PREFIX]")],
    *,
    start_after: Annotated[
        str, typer.Option(metavar="KEY", help="Continue after this key, the last one that an earlier run printed.")
    ] = "",
    refused: Annotated[
        bool,
        typer.Option(
            "--refused",
            help="Also objects that are quarantined or not images. Objects given up stay so while their bytes are the "
            "same.",
        ),
    ] = False,
) -> None:
    """Queue every object of a bucket that is not done yet, behind all live work. Safe to repeat."""
    from worker import bootstrap, broker
    from worker.pipeline.reconciliation.backfill import BackfillProgress

    settings = context.load_settings()
    name, _, prefix = bucket.partition("/")
    use_case = bootstrap.backfill(settings, context.database(settings), broker.WakeUp(settings).send)
    found = BackfillProgress(last=start_after)
    with context.progress(SpinnerColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("listing …")
        try:
            for found in use_case.run(name, prefix=prefix, start_after=start_after, refused=refused):
                so_far = f"{found.seen:,} keys seen, {found.to_do:,} to do, up to {context.name(found.last)}"
                progress.update(task, description=so_far)
        except BaseException:
            if found.seen:
                context.say(f"stopped: {_counted(found)}; continue with --start-after {shlex.quote(found.last)}")
            raise
    context.say(_counted(found))
    if found.to_do:
        context.say(f"`enrich status --bucket {name}` shows the workers' progress")
    if found.quarantined and not refused:
        context.say(f"`enrich quarantine list --in {name}` says why; `enrich quarantine retry` tries again")


def _counted(found: BackfillProgress) -> str:
    """``1 key seen, 0 to do: 1 unchanged``."""
    parts = {
        "new": found.new,
        "changed": found.changed,
        "incomplete": found.incomplete,
        "unchanged": found.unchanged,
        "already pending": found.pending,
        "not images or given up": found.excluded,
        "in quarantine": found.quarantined,
        "impossible to record": found.unnameable,
    }
    seen = f"{found.seen:,} {'key' if found.seen == 1 else 'keys'} seen, {found.to_do:,} to do"
    details = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    return f"{seen}: {details}" if details else seen


def rejected(
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most notifications to show.")] = 20,
    as_json: _Json = False,
) -> None:
    """List notifications that could not be parsed or name buckets that are not watched, newest first."""
    from worker.pipeline.operations import system_status

    rows = system_status.rejected(context.database(context.load_settings()), limit=limit)
    if as_json:
        context.json_document([{**asdict(row), "body": row.body.decode(errors="backslashreplace")} for row in rows])
        return
    for row in rows:
        context.line(f"# {row.id}, {row.source}, {row.received:%F %T}")
        context.line(row.reason, style="bold")
        context.line(row.body.decode(errors="backslashreplace")[:_SHOWN_OF_A_BODY] + "\n")
    if not rows:
        context.line("no notification was rejected")
