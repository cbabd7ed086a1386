"""A reader of the change feed, over HTTP, from the first change to the last, whatever happens meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import urllib3

_PAGE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What the feed said."""

    id: str
    kind: str
    key: str
    etag: str | None


class Follower:
    """Asks for what comes after the last change it has seen, over and over."""

    def __init__(self, *, api_url: str, token: str, pause: float = 0.2) -> None:
        """Nothing is read before ``start``."""
        self._url, self._headers, self._pause = f"{api_url}/v1/changes", {"Authorization": f"Bearer {token}"}, pause
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.changes: list[Change] = []
        self.unanswered = 0

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def is_answered(self) -> bool:
        """Whether the API serves the feed now."""
        try:
            return bool(self._page() >= 0)
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    def finish(self) -> None:
        """Stop; what has been committed by now has been read when this returns."""
        self._stop.set()
        self._thread.join()
        while self._page():
            pass
        self._pool.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._page()
            except (urllib3.exceptions.HTTPError, OSError):
                self.unanswered += 1
                found = 0
            if not found:
                self._stop.wait(self._pause)

    def _page(self) -> int:
        after = {"after": self.changes[-1].id} if self.changes else {}
        answer = self._pool.request("GET", self._url, fields={**after, "limit": str(_PAGE)}, headers=self._headers)
        if answer.status != 200:
            raise OSError(f"the feed answers {answer.status}")
        found = answer.json()["changes"]
        self.changes += [Change(id=c["id"], kind=c["kind"], key=c["key"], etag=c["etag"]) for c in found]
        return len(found)
