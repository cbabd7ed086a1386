"""SQS over real HTTP: moto's server, and a proxy before it that notes, refuses or holds back what a client asks."""

from __future__ import annotations

import http.client
import itertools
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3
from moto.server import ThreadedMotoServer

_ACCOUNT = "123456789012"
REGION = "eu-west-1"


@dataclass(frozen=True, kw_only=True)
class Aws:
    """moto's server, and clients of it."""

    port: int
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def fresh_name(self) -> str:
        return f"uploads-{next(self._numbers)}"

    def new_queue(self, **attributes: str) -> str:
        """URL of a new, empty queue."""
        made = self.client("sqs").create_queue(QueueName=self.fresh_name(), Attributes=attributes)
        return str(made["QueueUrl"])

    def arn(self, url: str) -> str:
        return f"arn:aws:sqs:{REGION}:{_ACCOUNT}:{url.rpartition('/')[2]}"

    def with_dead_letters(self, *, deliveries: int) -> tuple[str, str]:
        """A queue, and where its messages go that are delivered more often."""
        dead = self.new_queue()
        policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": str(deliveries)}
        return self.new_queue(RedrivePolicy=json.dumps(policy)), dead

    def send(self, url: str, *bodies: bytes | str | dict[str, Any]) -> None:
        sqs = self.client("sqs")
        for body in bodies:
            text = body.decode() if isinstance(body, bytes) else body if isinstance(body, str) else json.dumps(body)
            sqs.send_message(QueueUrl=url, MessageBody=text)

    def messages(self, url: str) -> tuple[int, int]:
        """How many there are to be had, and how many somebody has."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@dataclass
class Proxy:
    """Between a client and the server; what is set here holds for requests from then on."""

    aws: Aws
    behind: str  # the queue's URL at the server
    port: int
    asked: list[str] = field(default_factory=list)  # actions, as they come
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)  # action or "*" → status, code
    hold: dict[str, threading.Event] = field(default_factory=dict)  # action → answered when set
    answer: dict[str, Any] = field(default_factory=dict)  # action → said instead of asking the server: JSON, or a page

    @property
    def url(self) -> str:
        """The queue's, by this way."""
        return f"http://127.0.0.1:{self.port}{urlsplit(self.behind).path}"

    def send(self, *bodies: dict[str, Any]) -> None:
        """See `Aws.send`."""
        self.aws.send(self.behind, *bodies)

    @property
    def messages(self) -> tuple[int, int]:
        """See `Aws.messages`."""
        return self.aws.messages(self.behind)


@contextmanager
def aws_server() -> Iterator[Aws]:
    """moto's server on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield Aws(port=server.get_host_and_port()[1])
    finally:
        server.stop()


@contextmanager
def proxied(aws: Aws, queue_url: str) -> Iterator[Proxy]:
    """A proxy before a queue."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        proxy = Proxy(aws=aws, behind=queue_url, port=server.server_port)
        server.proxy = proxy  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            for held in proxy.hold.values():
                held.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        action = self.headers["X-Amz-Target"].partition(".")[2]
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        proxy.asked.append(action)
        if action in proxy.hold:
            proxy.hold[action].wait(60)
        refused = proxy.refuse.get(action) or proxy.refuse.get("*")
        if refused is not None:
            self._reply(refused[0], json.dumps({"__type": f"com.amazonaws.sqs#{refused[1]}", "message": "no"}).encode())
        elif action in proxy.answer:
            said = proxy.answer[action]
            if isinstance(said, bytes):
                self._reply(200, said, kind="text/html; charset=utf-8")
            else:
                self._reply(200, json.dumps(said).encode())
        else:
            # The queue's URL in the body is the proxy's: the server looks at its path only.
            with closing(http.client.HTTPConnection("127.0.0.1", proxy.aws.port, timeout=60)) as connection:
                connection.request("POST", self.path, body, dict(self.headers))
                response = connection.getresponse()
                self._reply(response.status, response.read())

    def _reply(self, status: int, body: bytes, *, kind: str = "application/x-amz-json-1.0") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""
