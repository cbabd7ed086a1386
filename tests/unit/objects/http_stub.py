"""A real HTTP server that misbehaves on purpose: each request is given the next answer of a script."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

#: Answers one request on a connection; tells whether the connection stays open.
Answer: TypeAlias = Callable[[socket.socket], bool]


class Stub:
    """What the script is and what was asked."""

    def __init__(self, url: str, answers: list[Answer]) -> None:
        self.url = url
        self.answers = answers
        self.requests: list[str] = []  # head of each request, as it came
        self.connections = 0

    @property
    def targets(self) -> list[str]:
        """Path of each request, as it came over the wire, without the signature."""
        return [request.split(" ")[1].partition("?")[0] for request in self.requests]


@contextmanager
def serve(*answers: Answer) -> Iterator[Stub]:
    """Serve on a free port until the block ends. The last answer is repeated."""
    script = list(answers)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            stub.connections += 1
            while head := read_head(self.request):
                stub.requests.append(head)
                answer = script.pop(0) if len(script) > 1 else script[0]
                try:
                    if not answer(self.request):
                        return
                except OSError:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        stub = Stub(f"http://127.0.0.1:{server.server_address[1]}", script)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


def read_head(connection: socket.socket) -> str:
    received = b""
    while b"\r\n\r\n" not in received:
        try:
            chunk = connection.recv(65536)
        except OSError:
            return ""
        if not chunk:
            return ""
        received += chunk
    return received.decode("latin-1")


def head(status: str, **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def respond(status: str = "200 OK", body: bytes = b"", **headers: object) -> Answer:
    """A complete answer; the length is right unless given."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(head(status, **{"Content_Length": len(body), **headers}) + body)
        return True

    return answer


def refuse(status: str, code: str, *, more: str = "", **headers: object) -> Answer:
    """An S3 error."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>'
    return respond(status, body.encode(), Content_Type="application/xml", **headers)


def break_off(*parts: bytes) -> Answer:
    """Send some and close in order."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(b"".join(parts))
        return False

    return answer


def reset(*parts: bytes) -> Answer:
    """Send some and reset the connection."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(b"".join(parts))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return False

    return answer


def stall(*parts: bytes) -> Answer:
    """Send some and then nothing, until the other end closes."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(b"".join(parts))
        while connection.recv(1):
            pass
        return False

    return answer


def pour(first: bytes, chunk: bytes, *, pause: float = 0.0, sent: list[int] | None = None) -> Answer:
    """Send a first part and then a chunk for ever, until the other end closes; ``sent`` counts the chunks."""

    def answer(connection: socket.socket) -> bool:
        connection.sendall(first)
        tick = threading.Event()
        while True:
            connection.sendall(chunk)
            if sent is not None:
                sent.append(len(chunk))
            if pause:
                tick.wait(pause)

    return answer
