"""The pages: files that a browser loads as they are. They use the public HTTP API only."""

from worker.web.pages import Pages

__all__ = ["Pages"]
