"""Structured logs: a sentence for people, an ``action`` for machines, on stderr.

structlog is loaded when the first line is logged: most commands log none, and it takes longer than what they do.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import structlog

# One list for the life of the process: loggers that were used before keep it, whoever configures or captures later.
_processors: list[Any] = []
#: What was configured before structlog was loaded.
_wanted: dict[str, Any] | None = None
_configuring = threading.Lock()


def configure(*, level: str = "INFO", json: bool = False, plain: bool = False) -> None:
    """Set up structlog once per process. JSON lines if asked for.

    ``plain`` is for commands that a person waits for: sentences, without times and fields.
    """
    global _wanted  # noqa: PLW0603  # of the process, as structlog's own configuration is
    _wanted = {"level": level, "json": json, "plain": plain}
    if "structlog" in sys.modules:
        _configure_now()


def get(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room, e.g. ``logs.get("ledger")``."""
    return cast("structlog.typing.FilteringBoundLogger", _Logger(room))


class _Logger:
    """structlog's logger of a room, created at its first line."""

    def __init__(self, room: str) -> None:
        self._room = room

    def __getattr__(self, name: str) -> Any:
        logger = self.__dict__.get("_logger")
        if logger is None:
            import structlog

            _configure_now()
            logger = self.__dict__["_logger"] = structlog.get_logger(room=self._room)
        return getattr(logger, name)


def _configure_now() -> None:
    """Apply the configuration unless that has been done."""
    global _wanted  # noqa: PLW0603
    with _configuring:  # other threads wait, because structlog's default would log to stdout
        if _wanted is not None:
            _configure(_wanted)
            _wanted = None


def _configure(wanted: Mapping[str, Any]) -> None:
    import structlog

    renderer: Any
    if wanted["json"]:
        renderer = structlog.processors.JSONRenderer()
    elif wanted["plain"]:
        renderer = _sentence
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    _processors[:] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(wanted["level"])),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )


def _sentence(_logger: Any, level: str, event: MutableMapping[str, Any]) -> str:
    """The sentence with its error, and the traceback if there is one."""
    why = f": {event['error']}" if "error" in event else ""
    traceback = f"\n{event['exception']}" if "exception" in event else ""
    return f"{level}: {event['event']}{why}{traceback}"


class _Stderr:
    """The current ``sys.stderr``: loggers are kept, but tests replace the stream."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
