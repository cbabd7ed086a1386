"""SNS: notifications inside a string of another notification, and confirmations of subscriptions.

docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, cast
from urllib.parse import parse_qs, urlsplit

from worker.events.fields import Field
from worker.events.jsontext import decode_within
from worker.events.values import Envelope, Ignored, IgnoredReason, Subscription

_CONFIRMATIONS = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
_TOPIC = re.compile(r"arn:aws(?:-[a-z]+)*:sns:(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")


def is_sns(root: Field) -> bool:
    """Whether this is an SNS message."""
    return root.has("TopicArn") and (root.has("Message") or root.has("SubscribeURL"))


def open_sns(root: Field) -> Field | Envelope:
    """The message's parsed content; for a message about the subscription itself, its meaning.

    Raises:
        MalformedEventError: names the field and what was expected.
    """
    kind = root.optional_text("Type")
    if kind not in _CONFIRMATIONS:
        return decode_within(root.member("Message"))
    topic, url = root.member("TopicArn").text(), root.member("SubscribeURL").text()
    asked = cast('Literal["SubscriptionConfirmation", "UnsubscribeConfirmation"]', kind)
    return Envelope(
        ignored=(Ignored(what=topic, reason=IgnoredReason.SUBSCRIPTION),),
        subscriptions=(Subscription(kind=asked, topic=topic, url=url),),
    )


def may_be_opened(asked: Subscription, *, topics: Collection[str]) -> bool:
    """Whether the address belongs to AWS and confirms the subscription of a configured topic.

    A message can be made up by anybody who may send one, and what is opened is asked for from inside: so the address
    must be that of SNS in the topic's own region, over TLS, and say nothing but to confirm this topic.
    """
    named = _TOPIC.fullmatch(asked.topic)
    if asked.kind != "SubscriptionConfirmation" or named is None or asked.topic not in topics:
        return False
    return _is_confirmation(asked, host=f"sns.{named['region']}.amazonaws.com")


def _is_confirmation(asked: Subscription, *, host: str) -> bool:
    # Parsers disagree about what such characters do to the host.
    if not re.fullmatch(r"[!-~]+", asked.url) or "\\" in asked.url:
        return False
    try:
        parts, query = urlsplit(asked.url), parse_qs(urlsplit(asked.url).query, strict_parsing=True)
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and parts.netloc in (host, f"{host}.cn")
        and parts.path in ("", "/")
        and query.get("Action") == ["ConfirmSubscription"]
        and query.get("TopicArn") == [asked.topic]
    )
