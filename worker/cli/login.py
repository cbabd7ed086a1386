"""``enrich login``: a link that opens the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context

if TYPE_CHECKING:
    from pydantic import SecretStr

    from worker.settings import Settings

_MINUTES = 60


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Trying it")(login)


def login(
    scope: Annotated[
        str,
        typer.Option(
            "--scope", metavar="SCOPE", help="What whoever opens the link may do: read, review or admin (everything)."
        ),
    ] = "admin",
    minutes: Annotated[
        int, typer.Option(metavar="N", min=1, max=7 * 24 * 60, help="For how long the link is valid.")
    ] = _MINUTES,
) -> None:
    """Print a link that opens the pages in a browser; it works once.

    It is signed with a token of the settings, or of the `enrich up` that runs in this directory: nothing is sent.
    """
    from worker.errors import ConfigurationError
    from worker.suggestions import suggested

    choices = ("read", "review", "admin")
    if scope not in choices:
        raise typer.BadParameter(suggested(scope, choices, otherwise="choose read, review or admin"))
    settings = context.load_settings()
    if not settings.pages:
        raise ConfigurationError("ENRICH_PAGES is off, so that there are no pages: set it to true")
    typer.echo(link(settings, _address(settings), scope=scope, minutes=minutes))


def link(settings: Settings, api_url: str, *, scope: str = "admin", minutes: int = _MINUTES) -> str:
    """An address of the pages that logs in once.

    Args:
        settings: have the tokens; without any, nobody needs to log in.
        api_url: of the API, without a slash at its end.
        scope: what whoever opens it may do.
        minutes: for how long it is valid.
    """
    from worker.api.access import Scope, Tokens
    from worker.api.sessions import Sessions

    tokens = Tokens(
        admin=_value(settings.api_token),
        read=_value(settings.api_read_token),
        review=_value(settings.api_review_token),
    )
    if not tokens.wanted:
        return f"{api_url}/"
    code, _ = Sessions(tokens).code(Scope(scope), seconds=minutes * 60)
    return f"{api_url}/login#{code}"


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _address(settings: Settings) -> str:
    """That of the system that runs here; otherwise what the settings listen on."""
    from worker.errors import ServerError

    try:
        return context.running_system(settings).api_url
    except ServerError:
        host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::", "") else settings.api_host  # noqa: S104  # compared
        return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"
