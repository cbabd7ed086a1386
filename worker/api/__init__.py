"""The HTTP API: event intake and reading. Starts without torch; the first search loads the text encoder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.api.access import Tokens
    from worker.api.app import create_app
    from worker.api.services import Services

__all__ = ["Services", "Tokens", "create_app"]

#: The module of each name, imported on first use: commands use the response models without serving anything.
_HOMES = {"Services": "services", "Tokens": "access", "create_app": "app"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
