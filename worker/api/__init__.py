"""HTTP: event intake and reading back. Starts without torch; the text encoder loads when the first search needs it."""

from worker.api.access import Tokens
from worker.api.app import create_app
from worker.api.services import Services

__all__ = ["Services", "Tokens", "create_app"]
