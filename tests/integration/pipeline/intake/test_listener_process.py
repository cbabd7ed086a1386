"""`enrich listen` as a process: killed between any two steps, drained, and judged by what it hears."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from tests.integration.api.live import record
from tests.integration.pipeline.intake.sqs_server import REGION
from tests.ledger import pending
from tests.waiting import until
from worker import bootstrap, ledger
from worker.db import Engine, transaction
from worker.errors import ConfigurationError
from worker.pipeline.operations import health
from worker.settings import Settings

_CHECKOUT = Path(__file__).parents[4]


@pytest.fixture
def environment(engine: Engine) -> dict[str, str]:
    """A listener with little patience, without a broker: it only wakes."""
    return {
        **os.environ,
        "ENRICH_DATABASE_URL": engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        "ENRICH_BROKER_URL": "redis://127.0.0.1:1/0",
        "ENRICH_BUCKETS": "*",
        "ENRICH_S3_REGION": REGION,
        "ENRICH_S3_ACCESS_KEY_ID": "test",
        "ENRICH_S3_SECRET_ACCESS_KEY": "test",
        "ENRICH_SQS_WAIT_SECONDS": "1",
        "ENRICH_SQS_VISIBILITY_SECONDS": "3",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `enrich listen`; its log is in ``tmp_path``."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*queues: str, **more: str) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{len(running)}.log").open("wb") as log:
            env = {**environment, "ENRICH_SQS_QUEUES": ",".join(queues), **more}
            command = [sys.executable, "-m", "worker", "listen"]
            running.append(subprocess.Popen(command, env=env, cwd=_CHECKOUT, stdout=log, stderr=log))
        return running[-1]

    yield run
    for each in running:
        each.kill()
        each.wait()


def processes(engine):
    with transaction(engine) as connection:
        return ledger.heartbeats.processes(connection)


def test_a_listener_killed_before_the_commit_loses_nothing(engine, start, proxy):
    """SIGKILL with messages received and nothing recorded: the queue delivers them again, to the next one."""
    proxy.send(record("a.jpg"), record("b.jpg"))
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE inbox IN EXCLUSIVE MODE"))
        listener = start(proxy.url)
        until(lambda: proxy.messages == (0, 2), seconds=60)
        listener.kill()
        listener.wait()
    assert (0, False) == (pending(engine), "DeleteMessageBatch" in proxy.asked)
    start(proxy.url)
    # Not the other way round: the server counts first what is to be had, then what somebody has, and a message that
    # comes back meanwhile is in neither.
    until(lambda: pending(engine) == 2, seconds=60)
    until(lambda: proxy.messages == (0, 0), seconds=60)


def test_a_listener_killed_between_commit_and_deletion_loses_nothing(engine, start, proxy):
    """SIGKILL with everything recorded and nothing deleted: it is recorded once more, which changes nothing."""
    proxy.hold["DeleteMessageBatch"] = threading.Event()
    proxy.send(record("a.jpg"), record("b.jpg"))
    listener = start(proxy.url)
    until(lambda: "DeleteMessageBatch" in proxy.asked, seconds=60)
    listener.kill()
    listener.wait()
    assert (2, (0, 2)) == (pending(engine), proxy.messages)
    # What was on its way when the listener died never arrives: the proxy answers nobody, and asks the server nothing.
    proxy.answer["DeleteMessageBatch"] = {"Successful": [], "Failed": []}
    proxy.hold.pop("DeleteMessageBatch").set()
    until(lambda: proxy.messages == (2, 0), seconds=10)
    del proxy.answer["DeleteMessageBatch"]
    start(proxy.url)
    until(lambda: proxy.messages == (0, 0), seconds=60)
    assert 2 == pending(engine)


def test_sigterm_drains(engine, start, environment, proxy):
    """What is in hand is committed and deleted, the rest stays in the queue, and the process says goodbye."""
    proxy.send(*(record(f"{number}.jpg") for number in range(5)))
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE inbox IN EXCLUSIVE MODE"))
        listener = start(proxy.url)
        until(lambda: proxy.messages[1] > 0, seconds=60)
        assert ["listener"] == [each.kind for each in processes(engine)]
        assert (0, "listener is healthy\n") == _health(environment)
        listener.send_signal(signal.SIGTERM)
        in_hand = proxy.messages[1]
    assert 0 == listener.wait(20)
    assert (pending(engine), sum(proxy.messages)) == (in_hand, 5 - in_hand)
    assert [] == processes(engine)


def _health(environment: dict[str, str]) -> tuple[int, str]:
    """The health command's exit status, and what it says."""
    command = [sys.executable, "-m", "worker", "health", "listener"]
    done = subprocess.run(
        command, env=environment, cwd=_CHECKOUT, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


def test_a_queue_that_is_not_there_ends_the_start_with_a_sentence(start, queue_url, tmp_path):
    """One line behind that on what is watched, no traceback, and a status that supervisors take for failure."""
    assert 1 == start(f"{queue_url.rpartition('/')[0]}/none").wait(60)
    [_, line] = (tmp_path / "0.log").read_text().splitlines()
    assert line.startswith("enrich: the queue http://127.0.0.1:")
    assert "/none does not exist: check ENRICH_SQS_QUEUES (`aws sqs get-queue-url` prints the address)" in line


@pytest.mark.parametrize(
    ("queues", "says"),
    [
        ((), "no queue is configured: set ENRICH_SQS_QUEUES to the URLs of SQS queues"),
        (("arn:aws:sqs:eu-west-1:123456789012:uploads",), "is not the URL of a queue, such as https://sqs.eu-west-1"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_starts(queues, says):
    """The database is not even asked."""
    settings = Settings(sqs_queues=queues, database_url="postgresql://enrich@127.0.0.1:1/enrich")
    with pytest.raises(ConfigurationError, match=says), bootstrap.listener(settings, lambda: None):
        pass


def test_a_queue_that_is_away_does_not_keep_a_listener_from_starting(engine, environment, capsys):
    """It will come back; what a person has to mend would not."""
    settings = Settings(
        sqs_queues=("http://127.0.0.1:1/1/x",), database_url=environment["ENRICH_DATABASE_URL"],
        s3_access_key_id="test", s3_secret_access_key=SecretStr("test"),
    )  # fmt: skip
    with bootstrap.listener(settings, lambda: None) as (heartbeat, listeners):
        assert ["x"] == [each.queue.name for each in listeners]
        assert [each.name for each in processes(engine)] == [heartbeat.name]
    assert "cannot be reached" in "".join(capsys.readouterr())


@pytest.mark.parametrize("deliveries", [None, 5])
def test_a_queue_without_dead_letters_is_told_at_the_start(aws, engine, environment, capsys, deliveries):
    """What becomes of messages that nobody understands should be no surprise."""
    url = aws.with_dead_letters(deliveries=deliveries)[0] if deliveries else aws.new_queue()
    settings = Settings(
        sqs_queues=(url,), database_url=environment["ENRICH_DATABASE_URL"], s3_region=REGION,
        s3_access_key_id="test", s3_secret_access_key=SecretStr("test"),
    )  # fmt: skip
    with bootstrap.listener(settings, lambda: None):
        pass
    assert ("has no dead-letter queue" in "".join(capsys.readouterr())) == (deliveries is None)


def test_a_listener_that_hears_nothing_is_not_healthy(engine):
    """Heartbeats alone are not enough: the queues must answer."""
    with transaction(engine) as connection:
        ledger.heartbeats.record(
            connection, ledger.heartbeats.ProcessReport(name="listener@x:1", kind="listener", host="x")
        )
    assert health.problem(engine, kind="listener", host="x") is None
    with transaction(engine) as connection:
        connection.execute(text("UPDATE processes SET progress_at = now() - interval '400 seconds'"))
    said = health.problem(engine, kind="listener", host="x")
    assert said is not None
    assert re.fullmatch(r"listener@x:1 has had no answer from all its queues for 4\d\d s; its log says why", said)
