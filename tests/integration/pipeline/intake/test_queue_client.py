"""A queue's client: what it asks of a real HTTP server, and the sentences people get where that refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.api.live import record
from tests.integration.pipeline.intake.conftest import make_queue
from worker.errors import ConfigurationError, EnrichError, QueueUnavailableError
from worker.events.sqs import SqsQueue


def test_a_batch_that_is_deleted_in_part_is_counted_so(aws, queue_url):
    """The server's own answer: what it knows is gone, a receipt that it does not know is no error for the others."""
    aws.send(queue_url, record("a.jpg"), record("b.jpg"))
    queue = make_queue(queue_url)
    first, second = queue.receive()
    assert 1 == queue.delete([replace(first, receipt="expired"), second])
    assert 1 == sum(aws.messages(queue_url))
    assert 0 == queue.delete([first])
    assert (0, 0) == aws.messages(queue_url)


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDeniedException", ConfigurationError, "must allow sqs:ReceiveMessage, sqs:DeleteMessage"),
        (400, "QueueDoesNotExist", ConfigurationError, "does not exist: check ENRICH_SQS_QUEUES"),
        (403, "InvalidClientTokenId", ConfigurationError, "refuses our credentials: check ENRICH_S3_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", ConfigurationError, "refuses our credentials"),
        (403, "ExpiredToken", ConfigurationError, "refuses our credentials"),
        (500, "InternalFailure", QueueUnavailableError, "answers 500 InternalFailure"),
        (400, "ThrottlingException", QueueUnavailableError, "answers 400 ThrottlingException"),
    ],
)
def test_a_refusal_says_what_to_do(proxy, status, code, kind, says):
    """With the queue's address, and what SQS called it."""
    proxy.refuse["*"] = (status, code)
    with pytest.raises(kind, match=says) as error:
        make_queue(proxy.url).check()
    assert proxy.url in str(error.value)
    assert code in str(error.value)


def test_a_queue_that_is_not_there_says_so(aws, queue_url):
    """The server's own answer, not ours."""
    with pytest.raises(ConfigurationError, match="/uploads-none does not exist: check ENRICH_SQS_QUEUES"):
        make_queue(f"{queue_url.rpartition('/')[0]}/uploads-none").check()
    with pytest.raises(QueueUnavailableError, match=r"the queue http://127\.0\.0\.1:1/1/x cannot be reached: "):
        make_queue("http://127.0.0.1:1/1/x").receive()


@pytest.mark.parametrize(
    "url", ["", "uploads", "arn:aws:sqs:eu-west-1:123456789012:uploads", "https://", "https://x", "ftp://x/y"]
)
def test_what_is_no_address_of_a_queue_is_refused_with_an_example(url):
    """Most people try the ARN first."""
    with pytest.raises(ConfigurationError, match="is not the URL of a queue, such as https://sqs"):
        make_queue(url)


@pytest.mark.parametrize(
    ("url", "region", "host"),
    [
        ("https://sqs.eu-north-1.amazonaws.com/123456789012/q", "eu-north-1", "https://sqs.eu-north-1.amazonaws.com"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn"),
        ("https://eu-west-1.queue.amazonaws.com/1/q", "eu-west-1", "https://sqs.eu-west-1.amazonaws.com"),
        ("http://elasticmq:9324/000000000000/q", "eu-west-1", "http://elasticmq:9324"),
    ],
)
def test_an_address_says_which_region_and_which_server(url, region, host):
    """No setting repeats what the URL says."""
    client = make_queue(url)._client
    assert (client.meta.region_name, client.meta.endpoint_url) == (region, host)


def test_errors_of_the_room_are_ours(proxy):
    """Whatever a server answers: nothing but our errors comes out of the client."""
    answers: list[dict[str, object]] = [{}, {"Messages": []}, {"Attributes": {}}]
    for answer in answers:
        for action in ("ReceiveMessage", "GetQueueAttributes"):
            proxy.answer[action] = answer
        assert [] == make_queue(proxy.url).receive()
        assert not make_queue(proxy.url).leads_to_dead_letters()
    proxy.refuse["*"] = (418, "")
    with pytest.raises(EnrichError):
        make_queue(proxy.url).receive()


def test_a_web_page_is_not_taken_for_an_empty_queue(proxy):
    """A portal that asks people to log in answers everything with 200."""
    page = b"<html>log in first</html>"
    proxy.answer |= {"ReceiveMessage": page, "GetQueueAttributes": page}
    for ask in (make_queue(proxy.url).receive, make_queue(proxy.url).check):
        with pytest.raises(
            QueueUnavailableError, match="answers with a web page, so it is not a queue: check ENRICH_SQS"
        ):
            ask()


@pytest.mark.parametrize("endpoint", ["vpce-1", "http://", "http://a b"])
def test_a_server_s_address_that_is_none_is_refused(endpoint):
    """ENRICH_SQS_ENDPOINT_URL, before anything is sent."""
    with pytest.raises(ConfigurationError, match="check ENRICH_SQS_QUEUES, ENRICH_SQS_ENDPOINT_URL"):
        SqsQueue("https://sqs.eu-west-1.amazonaws.com/1/q", endpoint_url=endpoint)


def test_a_profile_that_is_not_there_is_told(monkeypatch):
    """boto3 looks for it when a client is made."""
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(ConfigurationError, match=r"\(nope\) could not be found; check .* AWS_PROFILE"):
        SqsQueue("https://sqs.eu-west-1.amazonaws.com/1/q")
