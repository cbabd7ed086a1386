"""The routes: a few lines each; the work is in ``pipeline``, the shapes are in ``models``."""

from worker.api.routes import docs, events, images, operation, quarantine

__all__ = ["docs", "events", "images", "operation", "quarantine"]
