"""``enrich search`` and the API of `enrich up`, which may be of another release than the command."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from worker.api.search_models import SearchResponse
from worker.cli import api_client
from worker.local.connection import ConnectionInfo, save_connection_info
from worker.local.home import Home, HomeLock
from worker.settings import Settings

DATABASE = "postgresql://somewhere/else"


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(path: Path, url: str) -> Iterator[None]:
    """What `enrich up` leaves in its home while it runs."""
    home = Home.at(path)
    home.prepare()
    lock = HomeLock(home)
    lock.acquire()
    info = ConnectionInfo(
        pid=os.getpid(), home=str(path), api_url=url, api_port=0, api_token="t", api_events_token="e",
        database_url=DATABASE, broker_url="", s3_endpoint_url="", s3_region="", s3_access_key_id=None,
        s3_secret_access_key=None, s3_addressing_style="path", bucket="", buckets=(),
    )  # fmt: skip
    save_connection_info(home, info)
    try:
        yield
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("body", "is_understood"),
    [
        (b'{"hits": [], "exact": true, "complete": true}', True),
        (b'{"hits": []}', False),  # as an earlier release answers
        (b"<html>", False),
    ],
)
def test_an_answer_that_is_not_understood_is_none(tmp_path, body, is_understood):
    """The command searches by itself then."""
    settings = Settings(home=tmp_path, database_url=DATABASE)
    with answering(body) as url, running(tmp_path, url):
        found = api_client.answered(settings, "/v1/search", {"text": "a dog"}, SearchResponse)
    assert is_understood == (found is not None)
