"""Structured logs: a sentence for people, an ``action`` for machines, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, cast

import structlog

# One list for the life of the process: loggers that were used before keep it, whoever configures or captures later.
_processors: list[Any] = []


def configure(*, level: str = "INFO", json: bool = False) -> None:
    """Set up structlog once per process. JSON lines when asked or when stderr is not a terminal's business."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    _processors[:] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=_processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )


def get(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room, e.g. ``logs.get("inbox")``."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(room=room))


class _Stderr:
    """What ``sys.stderr`` is at the moment: loggers are kept, and tests replace it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
