"""A queue of Amazon SQS, or of a compatible server. The only module in events that uses boto3."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from botocore.parsers import ResponseParserError

from worker.errors import ConfigurationError, EnrichError, QueueUnavailableError

#: Most messages that one request may receive or delete.
BATCH = 10

#: Seconds for which a received message is hidden from other receivers. Extended while we work on the message.
VISIBILITY = 60

_AWS = re.compile(r"(?:sqs\.(?P<region>[a-z0-9-]+)|(?P<old>[a-z0-9-]+)\.queue)\.amazonaws\.com(?:\.cn)?")
_REDRIVE_SECONDS = 300.0  # how long an answer to "has it a dead-letter queue?" is believed
_MINE = "the credentials' policy must allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and "
_REFUSALS = {
    "AccessDenied": f"denies access: {_MINE}sqs:GetQueueAttributes, and kms:Decrypt if the queue is encrypted",
    "NonExistentQueue": "does not exist: check ENRICH_SQS_QUEUES (`aws sqs get-queue-url` prints the address), the "
    "account and the region",
    "InvalidAddress": "is no queue: check ENRICH_SQS_QUEUES (`aws sqs get-queue-url` prints the address)",
    "Credentials": "refuses our credentials: check ENRICH_S3_ACCESS_KEY_ID and its secret, or what boto3 finds "
    "without them",
}
# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html; the two protocols name them apart.
_KINDS = {
    "AccessDenied": "AccessDenied",
    "AccessDeniedException": "AccessDenied",
    "KmsAccessDenied": "AccessDenied",
    "KMS.AccessDeniedException": "AccessDenied",
    "QueueDoesNotExist": "NonExistentQueue",
    "AWS.SimpleQueueService.NonExistentQueue": "NonExistentQueue",
    "InvalidAddress": "InvalidAddress",
    "InvalidClientTokenId": "Credentials",
    "UnrecognizedClientException": "Credentials",
    "InvalidSignatureException": "Credentials",
    "SignatureDoesNotMatch": "Credentials",
    "IncompleteSignature": "Credentials",
    "MissingAuthenticationToken": "Credentials",
    "InvalidSecurity": "Credentials",
    "ExpiredToken": "Credentials",
    "ExpiredTokenException": "Credentials",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A received message, to be deleted or given back."""

    id: str
    receipt: str  # of this delivery
    body: bytes


class SqsQueue:
    """One queue. Thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        wait: int = 20,
        visibility: int = VISIBILITY,
    ) -> None:
        """Open no connection yet.

        Args:
            url: of the queue; where its host is AWS's, it says which region.
            endpoint_url: where to send requests; None is the queue's own host.
            region: used to sign, where the URL says none.
            access_key_id: None is boto3's chain.
            secret_access_key: goes with ``access_key_id``.
            wait: seconds that a request for messages waits for one; 1 to 20.
            visibility: see `VISIBILITY`.

        Raises:
            ConfigurationError: this is no queue's URL, or no server's; or boto3's profile is not there.
        """
        self.url, self.visibility, self.wait = url, visibility, wait
        self.name = _name(url)
        self._redrive: tuple[float, bool] | None = None
        host = _AWS.fullmatch(urlsplit(url).netloc)
        self._client = _client(
            url,
            region_name=(host["region"] or host["old"]) if host else region,
            endpoint_url=endpoint_url or (None if host else "{0.scheme}://{0.netloc}".format(urlsplit(url))),
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(
                connect_timeout=5,
                read_timeout=wait + 10,
                retries={"total_max_attempts": 1},  # who asks has patience of its own
                tcp_keepalive=True,
            ),
        )

    def check(self) -> bool:
        """Query the queue.

        Returns:
            Whether it moves messages away that are delivered too often.

        Raises:
            ConfigurationError: it does not exist, or we may not use it; the message says what to do.
            QueueUnavailableError: it cannot be reached now.
        """
        return self._has_redrive()

    def receive(self) -> list[Message]:
        """Up to ten messages, hidden from other receivers for `visibility` seconds; none after `wait` seconds.

        Raises:
            ConfigurationError, QueueUnavailableError: see `check`.
        """
        with _errors(self.url):
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=self.wait,
                VisibilityTimeout=self.visibility,
            )
            _require_sqs(self.url, answer)
        return [_message(each) for each in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> int:
        """Remove messages for good.

        Returns:
            How many were not: the queue will deliver them again.

        Raises:
            ConfigurationError, QueueUnavailableError: see `check`; any of them may have been removed.
        """
        if not messages:
            return 0
        with _errors(self.url):
            answer = self._client.delete_message_batch(QueueUrl=self.url, Entries=_entries(messages))
        return len(answer.get("Failed", ()))

    def hide(self, messages: Sequence[Message], *, seconds: int) -> int:
        """Hide received messages from others for this many seconds from now; 0 gives them back at once.

        Returns:
            How many could not be hidden: others have them, or will.

        Raises:
            ConfigurationError, QueueUnavailableError: see `check`.
        """
        if not messages:
            return 0
        entries = [{**each, "VisibilityTimeout": seconds} for each in _entries(messages)]
        with _errors(self.url):
            answer = self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        return len(answer.get("Failed", ()))

    def leads_to_dead_letters(self) -> bool:
        """Whether the queue moves messages delivered too often to a dead-letter queue; true if it cannot be queried."""
        if self._redrive is None or time.monotonic() - self._redrive[0] > _REDRIVE_SECONDS:
            try:
                self._redrive = (time.monotonic(), self._has_redrive())
            except EnrichError:
                return True
        return self._redrive[1]

    def _has_redrive(self) -> bool:
        with _errors(self.url):
            answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["RedrivePolicy"])
            _require_sqs(self.url, answer)
        return bool(answer.get("Attributes", {}).get("RedrivePolicy"))


def _name(url: str) -> str:
    parts = urlsplit(url)
    name = parts.path.rstrip("/").rpartition("/")[2]
    if parts.scheme not in ("http", "https") or not parts.netloc or not name:
        raise ConfigurationError(
            f"ENRICH_SQS_QUEUES: {url[:200]!r} is not the URL of a queue, such as "
            "https://sqs.eu-west-1.amazonaws.com/123456789012/uploads; `aws sqs get-queue-url` prints it"
        )
    return name


def _client(url: str, **how: Any) -> Any:
    try:
        return boto3.session.Session().client("sqs", **how)
    except (ValueError, BotoCoreError) as error:
        raise ConfigurationError(
            f"the queue {url} cannot be queried: {error}; check ENRICH_SQS_QUEUES, ENRICH_SQS_ENDPOINT_URL, and "
            "AWS_PROFILE if it is set"
        ) from error


def _message(given: dict[str, Any]) -> Message:
    # JSON can carry half of a surrogate pair, which UTF-8 cannot: the parser refuses what then is not UTF-8.
    body = str(given.get("Body", "")).encode(errors="surrogatepass")
    return Message(id=given["MessageId"], receipt=given["ReceiptHandle"], body=body)


def _entries(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"Id": str(index), "ReceiptHandle": each.receipt} for index, each in enumerate(messages)]


def _require_sqs(url: str, answer: dict[str, Any]) -> None:
    """Detects a proxy's or portal's page with status 200, which boto3 takes for an answer without messages."""
    kind = str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("content-type", ""))
    if kind.startswith("text/html"):
        raise QueueUnavailableError(
            f"the queue {url} answers with a web page, so it is not a queue: check ENRICH_SQS_QUEUES and "
            "ENRICH_SQS_ENDPOINT_URL, and whether a proxy is in between"
        )


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Translates the client's errors to ours."""
    try:
        yield
    except ClientError as error:
        raise _failure(url, error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigurationError(
            f"no credentials for the queue {url}: set ENRICH_S3_ACCESS_KEY_ID and ENRICH_S3_SECRET_ACCESS_KEY, or "
            "give boto3 a profile or role"
        ) from error
    except (BotoCoreError, ResponseParserError, OSError) as error:
        raise QueueUnavailableError(
            f"the queue {url} cannot be reached: {' '.join(str(error).split())[:300]}"
        ) from error


def _failure(url: str, error: ClientError) -> EnrichError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _KINDS:
        return ConfigurationError(f"the queue {url} {_REFUSALS[_KINDS[code]]} ({code})")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "an error")
    return QueueUnavailableError(f"the queue {url} answers {status} {code}".rstrip())
