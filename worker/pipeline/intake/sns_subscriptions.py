"""The use case: confirm SNS subscriptions for the topics in ENRICH_SNS_TOPICS."""

from __future__ import annotations

from collections.abc import Callable, Collection
from http import HTTPStatus

import urllib3

from worker import events, logs
from worker.events import Subscription

_log = logs.get("pipeline")

_TIMEOUT = 10.0
#: SNS answers with a little XML.
_ANSWER_BYTES = 64 << 10
#: Characters of a topic; ARNs have a few hundred.
_SHOWN = 400


class SnsSubscriptions:
    """Confirms subscriptions of configured topics; for all others, says what a person has to do."""

    def __init__(self, topics: Collection[str] = (), *, fetch: Callable[[str], None] | None = None) -> None:
        """Set which topics may be confirmed.

        Args:
            topics: ARNs of topics whose subscriptions are wanted (``ENRICH_SNS_TOPICS``).
            fetch: opens an address that was checked; raises OSError or urllib3's HTTPError where that fails.
        """
        self._topics = frozenset(topics)
        self._fetch = fetch or open_address

    def answer(self, asked: Subscription) -> str | None:
        """Confirm the subscription if its topic is configured.

        Returns:
            None once it is confirmed; else a sentence for people, who find the address in the message.
        """
        topic = asked.topic[:_SHOWN]
        if asked.kind == "UnsubscribeConfirmation":
            return f"a subscription of {topic} has ended; if it should not have, open the SubscribeURL below"
        if asked.topic not in self._topics:
            return (
                f"{topic} asks to confirm a subscription: if it was you who subscribed, open the SubscribeURL below "
                "within three days, or name the topic in ENRICH_SNS_TOPICS and have SNS ask again"
            )
        if not events.may_be_opened(asked, topics=self._topics):
            return f"{topic} asks to confirm a subscription at an address that is not SNS's; it was not opened"
        return self._confirm(asked)

    def _confirm(self, asked: Subscription) -> str | None:
        try:
            self._fetch(asked.url)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            return (
                f"the subscription of {asked.topic} could not be confirmed ({' '.join(str(error).split())[:300]}): "
                "open the SubscribeURL below within three days, or have SNS ask again"
            )
        _log.info("a subscription was confirmed", action="subscribe", topic=asked.topic)
        return None


def open_address(url: str) -> None:
    """GET an address for its effect: no redirects, no retries, the answer is discarded.

    Raises:
        urllib3.exceptions.HTTPError: no connection, no answer in time, or one that is not 200.
    """
    with (
        urllib3.PoolManager(timeout=_TIMEOUT, retries=False) as pool,
        pool.request("GET", url, redirect=False, preload_content=False) as response,
    ):
        response.read(_ANSWER_BYTES)
        if response.status != HTTPStatus.OK:
            raise urllib3.exceptions.HTTPError(f"SNS answered {response.status}")
