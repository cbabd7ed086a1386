"""Clients of the local servers, and processes that run them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import socket
from typing import Any

import boto3
import psutil
import sqlalchemy
from botocore.config import Config

from worker.local.connection import ConnectionInfo

ROOT = str(Path(__file__).parents[3])

# A process that runs the stack until a signal; argv: home, port base, parts.
RUNNER = f"""
import pathlib, sys
sys.path.insert(0, {ROOT!r})
from worker.local.ports import PortPlan
from worker.local.stack import LocalStack, Part
stack = LocalStack(
    pathlib.Path(sys.argv[1]),
    ports=PortPlan(base=int(sys.argv[2])),
    parts=[Part(part) for part in sys.argv[3:]],
    announce=lambda message: print(message, flush=True),
)
stack.start()
print("up", flush=True)
stack.run()
"""


def s3_client(info: ConnectionInfo) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=info.s3_endpoint_url,
        aws_access_key_id=info.s3_access_key_id,
        aws_secret_access_key=info.s3_secret_access_key,
        region_name=info.s3_region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


@contextmanager
def runner(home: Path, base: int, *parts: str, user: str | None = None) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", RUNNER, str(home), str(base), *parts]
    with subprocess.Popen(
        argv,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=user,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            finally:
                process.kill()


def await_up(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Wait until the stack is up; the processes under it, orphan reaper included."""
    assert process.stdout is not None
    said: list[str] = []
    while not said or said[-1] not in ("up\n", ""):
        said.append(process.stdout.readline())
    assert "up\n" == said[-1], "".join(said)
    return psutil.Process(process.pid).children(recursive=True)


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def can_run_python(user: str) -> bool:
    try:
        return subprocess.run([sys.executable, "-c", ""], user=user, check=False, capture_output=True).returncode == 0
    except PermissionError:
        return False


class Receiver(HTTPServer):
    """Records events posted to it; listens on a socket that it may have been handed."""

    def __init__(self, listener: socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()
        self.events: list[tuple[str | None, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def seen(self) -> list[str]:
        return [str(event["key"]) for _, event in self.events]

    def end(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.events.append((self.headers["Authorization"], body | {"path": self.path}))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass
