"""``enrich quarantine``: see what could not be enriched, retry it, or give it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import SpinnerColumn, TextColumn
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.db import Engine
    from worker.ledger.quarantine import QuarantinedObject
    from worker.pipeline.operations.quarantine import QuarantineQuery, QuarantineUpdate

_Reason = Annotated[
    str | None, typer.Option(metavar="CODE", help="Only this reason; docs/reference/images.md lists the codes.")
]
_Where = Annotated[str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="Only here.")]
_Since = Annotated[str | None, typer.Option(metavar="AGE", help="Only entries since then: 2d, 12h, 15m, or a time.")]
_Older = Annotated[str | None, typer.Option(metavar="AGE", help="Only entries from before: 30d, 12h, or a time.")]
_Object = Annotated[str | None, typer.Argument(metavar="[BUCKET/KEY]", help="Only this object.")]
_GivenUp = Annotated[
    bool, typer.Option("--given-up", help="Objects that people gave up, and when, instead of the quarantine.")
]
_All = Annotated[bool, typer.Option("--all", help="All entries.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

_group = typer.Typer(no_args_is_help=True, help="Objects that could not be enriched, and why: list, show, retry, drop.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="quarantine", rich_help_panel="Operating it")


@_group.command("list")
def list_entries(
    *,
    reason: _Reason = None,
    where: _Where = None,
    since: _Since = None,
    older_than: _Older = None,
    given_up: _GivenUp = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Most entries to show.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Continue an earlier list: its `next`.")] = None,
    as_json: _Json = False,
) -> None:
    """List the newest entries, and count them by reason."""
    from worker.pipeline.operations import quarantine as use_case

    choice = _choice(None, reason, where, since, older_than, given_up=given_up)
    engine = context.database(context.load_settings())
    found, counts = use_case.listing(engine, choice, limit=limit, after=after), use_case.counts(engine, choice)
    if as_json:
        entries = [_plain(entry) for entry in found.entries]
        context.json_document({"counts": counts, "entries": entries, "next": found.next})
    elif found.entries:
        _print(found.entries)
        context.line(", ".join(f"{count:,} {reason}" for reason, count in counts.items()))
        if found.next is not None:
            context.say(f"the newest {len(found.entries):,}; continue with --after {found.next}, or raise --limit")
    elif choice == use_case.QuarantineQuery(given_up=given_up):
        context.line("nothing was given up" if given_up else "the quarantine is empty")
    else:
        context.line("nothing matches")


def _print(entries: tuple[QuarantinedObject, ...]) -> None:
    table = Table("object", "reason", "message", "attempts", "since", "state", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(
            context.name(f"{entry.bucket}/{entry.key}"),
            entry.reason,
            context.name(entry.message),
            str(entry.attempts),
            f"{entry.since:%F %T}",
            "retrying" if entry.pending else "",
        )
    context.out.print(table)


@_group.command()
def show(object_: Annotated[str, typer.Argument(metavar="BUCKET/KEY")], as_json: _Json = False) -> None:
    """Show one entry, with the first bytes of the upload."""
    from worker.pipeline.operations import quarantine as use_case

    ref = context.image_ref(object_)
    entry = use_case.entry(context.database(context.load_settings()), ref)
    if as_json:
        context.json_document(_plain(entry))
        return
    for name, value in _plain(entry).items():
        if value is not None and name != "first_bytes":
            context.line(f"{name:9} {context.name(str(value))}")
    context.line(use_case.hexdump(entry.first_bytes or b""))


@_group.command()
def retry(
    *,
    object_: _Object = None,
    reason: _Reason = None,
    where: _Where = None,
    since: _Since = None,
    older_than: _Older = None,
    given_up: _GivenUp = False,
    everything: _All = False,
) -> None:
    """Make entries pending work again, with all their attempts. May be stopped and repeated.

    An object given by name is retried even if it was given up.
    """
    from worker import broker
    from worker.pipeline.operations import quarantine as use_case

    choice = _required(_choice(object_, reason, where, since, older_than, given_up=given_up), everything=everything)
    settings = context.load_settings()
    if choice.bucket is not None:
        settings.watched.require(choice.bucket, choice.key or choice.prefix or "")
    engine, notify = context.database(settings), broker.WakeUp(settings).send
    changed = _with_progress(lambda report: use_case.retry(engine, choice, notify=notify, progress=report))
    if changed.count:
        context.say(f"{_entries(changed.count)} will be retried")
    else:
        _explain_nothing(engine, choice, "retry")


@_group.command()
def drop(
    *,
    object_: _Object = None,
    reason: _Reason = None,
    where: _Where = None,
    since: _Since = None,
    older_than: _Older = None,
    everything: _All = False,
) -> None:
    """Give entries up: they count as excluded until new bytes are uploaded or they are retried. May be repeated."""
    from worker.pipeline.operations import quarantine as use_case

    choice = _required(_choice(object_, reason, where, since, older_than), everything=everything)
    engine = context.database(context.load_settings())
    changed = _with_progress(lambda report: use_case.drop(engine, choice, progress=report))
    if changed.count:
        context.say(
            f"{_entries(changed.count)} given up; the objects count as excluded until new bytes are uploaded. "
            "`enrich quarantine retry --given-up` undoes this"
        )
    else:
        _explain_nothing(engine, choice, "drop")


def _explain_nothing(engine: Engine, choice: QuarantineQuery, verb: str) -> None:
    """Say why nothing was done. This is an error, because the user may have meant something else; a repeated retry is
    not.
    """
    from worker.errors import NotFoundError
    from worker.pipeline.operations import quarantine as use_case

    listing = f"`enrich quarantine list{' --given-up' if choice.given_up else ''}` shows what is there"
    if pending := sum(use_case.counts(engine, choice).values()):
        why = f"{_entries(pending)} {'is' if pending == 1 else 'are'} already being retried"
        if verb == "retry":
            context.say(f"nothing to retry: {why}; `enrich status` shows progress")
            return
    elif choice.key is not None:
        why = f"{choice.bucket}/{choice.key} is not in quarantine; {listing}"
    else:
        why = f"nothing {'that was given up' if choice.given_up else 'in quarantine'} matches; {listing}"
    raise NotFoundError(f"nothing to {verb}: {why}")


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _with_progress(run: Callable[[Callable[[int], None]], QuarantineUpdate]) -> QuarantineUpdate:
    with context.progress(SpinnerColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("searching …")
        return run(lambda count: progress.update(task, description=f"{count:,} so far"))


def _choice(
    object_: str | None,
    reason: str | None,
    where: str | None,
    since: str | None,
    older_than: str | None,
    *,
    given_up: bool = False,
) -> QuarantineQuery:
    from worker.errors import ChoiceError
    from worker.pipeline.common.time_filters import parse
    from worker.pipeline.operations.quarantine import QuarantineQuery
    from worker.suggestions import shown, suggested
    from worker.types import Reason

    if reason is not None and reason not in set(Reason):
        otherwise = f"choose one of: {', '.join(Reason)}"
        raise typer.BadParameter(
            f"{shown(reason)} is not a reason; {suggested(reason, map(str, Reason), otherwise=otherwise)}"
        )
    if object_ is not None and where is not None:
        raise typer.BadParameter("give one object or --in, not both")
    bucket, _, prefix = (where or "").partition("/")
    ref = None if object_ is None else context.image_ref(object_)
    try:
        return QuarantineQuery(
            reason=None if reason is None else Reason(reason),
            bucket=ref.bucket if ref else bucket or None,
            prefix=prefix or None,
            key=ref.key if ref else None,
            since=None if since is None else parse(since),
            older_than=None if older_than is None else parse(older_than),
            given_up=given_up,
        )
    except (ValueError, ChoiceError) as error:
        raise typer.BadParameter(str(error)) from error


def _required(choice: QuarantineQuery, *, everything: bool) -> QuarantineQuery:
    from worker.errors import ChoiceError
    from worker.pipeline.operations.quarantine import require_selection

    try:
        require_selection(choice, everything=everything)
    except ChoiceError as error:
        message = f"{error} (BUCKET/KEY, --reason CODE, --in BUCKET[/PREFIX], --since AGE, --older-than AGE, --all)"
        raise typer.BadParameter(message) from error
    return choice


def _plain(entry: QuarantinedObject) -> dict[str, object]:
    fields = {**asdict(entry), "first_bytes": entry.first_bytes.hex() if entry.first_bytes else None}
    del fields["place"]
    return fields
