"""``enrich up``, ``enrich env`` and ``enrich demo``: the whole system on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import context

_PANEL = "Trying it"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=_PANEL)(demo)
    app.command(rich_help_panel=_PANEL)(up)
    app.command(rich_help_panel=_PANEL)(env)


def up(
    port_base: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="First of eleven consecutive ports. Default: those of the last start, initially 8700."
        ),
    ] = None,
    bucket: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[/PREFIX]",
            help="Watch this bucket, and create it in the embedded store if missing; may be repeated. Default: "
            "`photos` in the embedded store, none in a store of yours. Buckets in ENRICH_BUCKETS are watched as well.",
        ),
    ] = None,
) -> None:
    """Run everything on this machine, in the foreground: store, queue, database, API, worker, scheduler.

    A server whose ENRICH_…_URL is set is yours, and is not started.
    """
    from worker.cli.local_system import System, interruptible
    from worker.local import bucket_name
    from worker.local.home import Home
    from worker.local.ports import DEFAULT_BASE, PortPlan

    settings = context.own_settings()
    named = _bucket_names(bucket or ())
    for name in named:
        bucket_name.require(name.partition("/")[0])
    home = Home.at(settings.home)
    ports = PortPlan(base=port_base or home.port_base or DEFAULT_BASE)
    system = System(settings, home=settings.home, ports=ports, buckets=named, say=context.say)
    with interruptible(), system:
        home.remember_port_base(ports.base)
        system.stay()
    context.say("stopped")


def _bucket_names(given: Sequence[str]) -> tuple[str, ...]:
    from worker import watched_buckets

    try:
        return watched_buckets.parse(given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bucket") from error


def env(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of shell exports.")] = False,
) -> None:
    """Print how to reach the system that `enrich up` runs: eval "$(enrich env)" configures any S3 client."""
    info = context.running_system(context.own_settings())
    typer.echo(info.json() if as_json else info.shell(), nl=False)


def demo(
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", exists=True, file_okay=False, help="A folder with your photos. Default: photos that ship."
        ),
    ] = None,
    port_base: Annotated[
        int | None, typer.Option(metavar="PORT", help="First of eleven consecutive ports. Default: any free ones.")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Exit after the results, even on a terminal.")] = False,
) -> None:
    """Start everything, upload photos over S3, and show the results.

    Starts from scratch each time, in .enrich/demo, and never touches servers named by ENRICH_…_URL.
    """
    from worker.cli import demo as demo_command

    demo_command.run(photos=photos, port_base=port_base, stay=not leave and context.is_terminal())
