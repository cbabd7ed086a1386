"""The API behind a real HTTP server, and a client that sends exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from starlette.routing import BaseRoute

from worker.api import Services, create_app
from worker.api.server import configured

TOKEN = "s3cret"


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """The sentence of an error, which must have the one shape of all errors."""
        assert "application/problem+json" == self.headers["content-type"]
        assert set(self.json) <= {"title", "status", "detail", "rejected_id", "state", "reason", "start"}
        assert self.json["status"] == self.status
        return str(self.json["detail"])


@dataclass(frozen=True, kw_only=True)
class LiveApi:
    services: Services
    app: FastAPI
    port: int

    def send(
        self,
        method: str,
        target: str,
        body: bytes | Iterator[bytes] | None = None,
        *,
        token: str | bytes | None = TOKEN,
        headers: Mapping[str, str | bytes] | None = None,
        timeout: float = 20,
    ) -> Answer:
        """One request on a connection of its own. ``target`` goes out as it is; an iterator is sent in chunks."""
        given: dict[str, str | bytes] = dict(headers or {})
        if token is not None:
            given["Authorization"] = b"Bearer " + (token if isinstance(token, bytes) else token.encode("latin-1"))
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            connection.request(method, target, body, given, encode_chunked=not isinstance(body, bytes | None))
            return _answer(connection.getresponse())

    def get(self, target: str, **options: Any) -> Answer:
        return self.send("GET", target, **options)

    def post(self, target: str, value: object, **options: Any) -> Answer:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return self.send("POST", target, json.dumps(value).encode(), headers=headers, **options)

    def image(self, bucket: str, key: str) -> Answer:
        return self.get(f"/v1/images/{bucket}/{quote(key)}")

    def raw(self, data: bytes, *, timeout: float = 20) -> bytes:
        """Send bytes, hang up the sending half, and return whatever comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def _answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    return Answer(status=response.status, headers={k.lower(): v for k, v in response.getheaders()}, body=body)


@contextmanager
def serve(services: Services, pages: Sequence[BaseRoute] = (), *, port: int = 0) -> Iterator[LiveApi]:
    """Uvicorn as ``enrich api`` runs it, on a thread and a free port, or on this one."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        app = create_app(services, pages)
        server = uvicorn.Server(configured(app, log_level="critical", grace=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _wait(server)
            yield LiveApi(services=services, app=app, port=listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def _wait(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.01)


def record(key: str, *, bucket: str = "photos", source: str = "aws:s3") -> dict[str, Any]:
    """An S3 notification about one upload; keys are escaped as AWS does it."""
    escaped = quote(key, safe="/").replace("%20", "+") if source == "aws:s3" else key
    return {
        "Records": [
            {
                "eventName": "ObjectCreated:Put",
                "eventSource": source,
                "s3": {"bucket": {"name": bucket}, "object": {"key": escaped}},
            }
        ]
    }
