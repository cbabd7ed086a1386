"""A model hub on this machine: the few requests that huggingface_hub makes to download a repository."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/tiny-clip"


class Hub(ThreadingHTTPServer):
    """Serves one repository at one commit, and remembers what was asked."""

    def __init__(self, directory: Path, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.directory = directory
        self.requests: list[str] = []
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        self.server.requests.append(format % args)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        files = sorted(file for file in self.server.directory.iterdir() if file.is_file())
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            listing = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _etag(f)} for f in files]
            return self._json(200, listing, with_body=with_body)
        if path in {f"/api/models/{REPOSITORY}", f"/api/models/{REPOSITORY}/revision/main"}:
            siblings = [{"rfilename": file.name} for file in files]
            return self._json(200, {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}, with_body=with_body)
        for file in files:
            if path == f"/{REPOSITORY}/resolve/{COMMIT}/{file.name}":
                return self._send(200, file.read_bytes(), with_body=with_body, etag=_etag(file))
        return self._missing(with_body=with_body)

    def _missing(self, *, with_body: bool) -> None:
        self._json(404, {"error": "Repository not found"}, with_body=with_body, code="RepoNotFound")

    def _json(self, status: int, value: object, *, with_body: bool, code: str | None = None) -> None:
        self._send(status, json.dumps(value).encode(), with_body=with_body, code=code)

    def _send(
        self, status: int, body: bytes, *, with_body: bool, etag: str | None = None, code: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        if etag is not None:
            self.send_header("ETag", f'"{etag}"')
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def serving(directory: Path) -> Iterator[Hub]:
    """A hub that has ``directory`` as ``REPOSITORY``."""
    hub = Hub(directory)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
