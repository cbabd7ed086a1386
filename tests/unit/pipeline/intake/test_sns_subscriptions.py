"""Confirming the subscriptions of topics: only those named, only at SNS, and without following anybody anywhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from urllib3.exceptions import HTTPError

from worker.events import Subscription
from worker.pipeline.intake.sns_subscriptions import SnsSubscriptions, open_address

TOPIC = "arn:aws:sns:us-west-2:123456789012:uploads"
URL = f"https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=x"
ASKED = Subscription(kind="SubscriptionConfirmation", topic=TOPIC, url=URL)


def fail(_: str) -> None:
    raise HTTPError("no\nroute")


def test_a_topic_that_was_named_is_confirmed() -> None:
    """The address is opened once, and nobody has to do anything."""
    opened: list[str] = []
    assert SnsSubscriptions([TOPIC], fetch=opened.append).answer(ASKED) is None
    assert [URL] == opened


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (ASKED, "if it was you who subscribed, open the SubscribeURL"),
        (Subscription(kind="SubscriptionConfirmation", topic="other", url=URL), "if it was you who subscribed"),
        (Subscription(kind="UnsubscribeConfirmation", topic=TOPIC, url=URL), "a subscription of .* has ended"),
    ],
)
def test_what_was_not_named_is_left_to_a_person(asked: Subscription, says: str) -> None:
    """Nothing is opened; the sentence says what to do."""
    said = SnsSubscriptions(["another"], fetch=fail).answer(asked)
    assert said is not None
    assert re.search(says, said)


def test_an_address_elsewhere_is_not_opened_even_for_a_topic_that_was_named() -> None:
    """The name of a topic is no secret."""
    opened: list[str] = []
    asked = Subscription(kind="SubscriptionConfirmation", topic=TOPIC, url="http://169.254.169.254/latest")
    said = SnsSubscriptions([TOPIC], fetch=opened.append).answer(asked)
    assert f"{TOPIC} asks to confirm a subscription at an address that is not SNS's; it was not opened" == said
    assert [] == opened


def test_a_confirmation_that_fails_is_left_to_a_person() -> None:
    """SNS may be out of reach from here; the sentence says why, on one line."""
    said = SnsSubscriptions([TOPIC], fetch=fail).answer(ASKED)
    assert said is not None
    assert "could not be confirmed (no route): open the SubscribeURL" in said


class _Topic(BaseHTTPRequestHandler):
    seen: list[str] = []  # noqa: RUF012  # one server, one list

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("Location", "/200")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def topic() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Topic) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        _Topic.seen.clear()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_opened_once(topic: str) -> None:
    """200 is all that is wanted."""
    open_address(f"{topic}/200")
    assert ["/200"] == _Topic.seen


@pytest.mark.parametrize("status", [302, 307, 403, 500])
def test_no_redirect_is_followed_and_nothing_is_tried_twice(topic: str, status: int) -> None:
    """An address of SNS leads nowhere else."""
    with pytest.raises(HTTPError, match=f"SNS answered {status}"):
        open_address(f"{topic}/{status}")
    assert [f"/{status}"] == _Topic.seen


def test_nobody_there_is_an_error() -> None:
    """It is told, not raised further: see above."""
    with pytest.raises(HTTPError):
        open_address("http://127.0.0.1:1/")
