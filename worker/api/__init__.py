"""HTTP: event intake and reading back. Starts without torch; the text encoder loads when the first search needs it."""

from worker.api.app import create_app, openapi

__all__ = ["create_app", "openapi"]
