"""``enrich quarantine``: see what could not be enriched, try it again, or give it up."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.inbox import Quarantined, Selection

_Reason = Annotated[str | None, typer.Option(metavar="CODE", help="Only this reason; docs/images.md lists the codes.")]
_Where = Annotated[str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="Only here.")]
_Older = Annotated[float, typer.Option(metavar="HOURS", min=0, help="Only what has been there for so long.")]
_Object = Annotated[str | None, typer.Argument(metavar="[BUCKET/KEY]", help="Only this object.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

_group = typer.Typer(no_args_is_help=True, help="What could not be enriched, and why: list, show, retry, drop.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(_group, name="quarantine", rich_help_panel="Operating it")


@_group.command("list")
def list_entries(
    reason: _Reason = None,
    where: _Where = None,
    older_than: _Older = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="At most so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """The newest entries, and how many there are by reason."""
    from worker.pipeline import quarantine as use_case

    selection = _selection(None, reason, where, older_than)
    found = use_case.listing(context.database(context.load_settings()), selection, limit=limit)
    if as_json:
        entries = [_plain(entry) for entry in found.entries]
        context.json_document({"counts": found.counts, "entries": entries})
        return
    if not found.entries:
        context.line("quarantine is empty" if not (reason or where or older_than) else "nothing matches")
        return
    table = Table("object", "reason", "message", "attempts", "since", box=None, pad_edge=False)
    for entry in found.entries:
        table.add_row(
            context.name(f"{entry.bucket}/{entry.key}"),
            entry.reason,
            context.name(entry.message),
            str(entry.attempts),
            f"{entry.since:%F %T}",
        )
    context.out.print(table)
    context.line(", ".join(f"{count:,} {reason}" for reason, count in found.counts.items()))


@_group.command()
def show(object_: Annotated[str, typer.Argument(metavar="BUCKET/KEY")], as_json: _Json = False) -> None:
    """One entry, with the first bytes of what was uploaded."""
    from worker.errors import NotFoundError
    from worker.pipeline import quarantine as use_case

    selection = _selection(object_, None, None, 0)
    found = use_case.listing(context.database(context.load_settings()), selection, limit=1)
    if not found.entries:
        raise NotFoundError(f"{object_} is not in quarantine; `enrich show {object_}` says where it stands")
    [entry] = found.entries
    if as_json:
        context.json_document(_plain(entry))
        return
    for name, value in _plain(entry).items():
        if value is not None and name != "first_bytes":
            context.line(f"{name:9} {context.name(str(value))}")
    context.line(_hexdump(entry.first_bytes or b""))


@_group.command()
def retry(
    object_: _Object = None,
    reason: _Reason = None,
    where: _Where = None,
    older_than: _Older = 0,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
) -> None:
    """Make entries pending work again, with all their attempts."""
    from worker import tasks
    from worker.pipeline import quarantine as use_case

    selection = _selection(object_, reason, where, older_than)
    _require_choice(selection, everything=everything)
    settings = context.load_settings()
    count = use_case.retry(context.database(settings), selection, ring=tasks.Bell(settings).ring)
    context.say(f"{count:,} objects will be tried again")


@_group.command()
def drop(
    object_: _Object = None,
    reason: _Reason = None,
    where: _Where = None,
    older_than: _Older = 0,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
) -> None:
    """Give entries up: they count as excluded, until an event names them again."""
    from worker.pipeline import quarantine as use_case

    selection = _selection(object_, reason, where, older_than)
    _require_choice(selection, everything=everything)
    count = use_case.drop(context.database(context.load_settings()), selection)
    context.say(f"{count:,} entries dropped; the objects count as excluded now")


def _selection(object_: str | None, reason: str | None, where: str | None, hours: float) -> Selection:
    from worker.inbox import Selection
    from worker.types import Reason

    if reason is not None and reason not in set(Reason):
        raise typer.BadParameter(f"{reason!r} is not a reason; choose one of: {', '.join(Reason)}")
    bucket, _, prefix = (where or "").partition("/")
    key = None
    if object_ is not None:
        bucket, slash, key = object_.partition("/")
        if not (bucket and slash and key):
            raise typer.BadParameter(f"{object_!r} does not name an object: write BUCKET/KEY")
    return Selection(reason=reason, bucket=bucket or None, prefix=prefix or None, key=key, older_than=hours * 3_600)


def _require_choice(selection: Selection, *, everything: bool) -> None:
    from worker.inbox import Selection

    if selection == Selection() and not everything:
        raise typer.BadParameter("say which: BUCKET/KEY, --reason CODE, --in BUCKET[/PREFIX], --older-than, or --all")


def _plain(entry: Quarantined) -> dict[str, object]:
    return {**asdict(entry), "first_bytes": entry.first_bytes.hex() if entry.first_bytes else None}


def _hexdump(data: bytes) -> str:
    """Offset, sixteen bytes, and their printable characters, as `hexdump -C` prints them."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004  # ASCII
        lines.append(f"{start:08x}  {row.hex(' '):<47}  |{printable}|")
    return "\n".join(lines)
