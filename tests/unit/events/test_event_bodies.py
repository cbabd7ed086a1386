"""Requests' bodies: hostile JSON, and any JSON at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.events.event_fixtures import (
    eventbridge_event,
    filer_event,
    in_lambda,
    in_sns,
    recordings,
    s3_event,
    s3_record,
)
from worker.errors import MalformedEventError
from worker.events import MAX_DEPTH, MAX_ENVELOPES, MAX_KEY_BYTES, SOURCES, Envelope, parse

NOTIFICATIONS = {source: recordings(source) for source in SOURCES}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@st.composite
def damaged(draw: st.DrawFn, events: list[Any]) -> Any:
    """A real notification with any JSON in place of something in it."""
    event = json.loads(json.dumps(draw(st.sampled_from(events))))
    node = event
    while True:
        step = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[step], dict | list) or not node[step] or draw(st.booleans()):
            node[step] = draw(JSON)
            return event
        node = node[step]


#: Every way in which the name of an object reaches us, as a function of its key.
ENVELOPES: dict[str, Callable[[str], Any]] = {
    "s3": s3_event,
    "rustfs": lambda key: {"Records": [s3_record(quote_plus(key, safe=""), source="rustfs:s3")]},
    "eventbridge": eventbridge_event,
    "s3 in sns": lambda key: in_sns(s3_event(key)),
    "eventbridge in sns": lambda key: in_sns(eventbridge_event(key)),
    "s3 in sqs in lambda": lambda key: in_lambda(s3_event(key)),
    "s3 in sns in sqs in lambda": lambda key: in_lambda(in_sns(s3_event(key))),
    "s3 in sns in lambda": lambda key: {"Records": [{"EventSource": "aws:sns", "Sns": in_sns(s3_event(key))}]},
    "seaweedfs": lambda key: filer_event(f"/buckets/photos/{key}"),
}
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(
    lambda key: len(key.encode()) <= MAX_KEY_BYTES
) | st.sampled_from(["k" * 1024, "é" * 512, "🏞" * 256, "+" * 1024, "%" * 1024, " " * 1024, "%2B", "a+b c%20d%"])


@pytest.mark.parametrize("envelope", ENVELOPES)
@given(key=KEYS)
def test_a_key_arrives_exactly_through_every_envelope(envelope: str, key: str) -> None:
    """Spaces, plus and percent signs, other alphabets, 1,024 bytes: one hint, under the key that was uploaded."""
    # A filer's paths mean something in these two folders; its own tests have them.
    assume(envelope != "seaweedfs" or not (key.startswith(".uploads") or ".versions" in key))
    body = json.dumps(ENVELOPES[envelope](key)).encode()
    source = "seaweedfs" if envelope == "seaweedfs" else "s3"
    assert [hint.ref.key for hint in parse(source, body).hints if not hint.guess] == [key]


def understands(parser: Callable[[], Envelope]) -> Envelope | str:
    try:
        return parser()
    except MalformedEventError as error:
        return str(error)


@given(st.sampled_from(sorted(SOURCES)), JSON)
def test_any_json_is_understood_or_refused(source: str, payload: Any) -> None:
    """Nothing but an envelope or the error for malformed events comes out."""
    assert understands(lambda: SOURCES[source].parse(payload))


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_a_damaged_notification_is_understood_or_refused(source: str, data: st.DataObject) -> None:
    """Whatever stands in place of a field, in whatever envelope."""
    payload = data.draw(damaged(NOTIFICATIONS[source]))
    assert understands(lambda: SOURCES[source].parse(payload))


@given(st.sampled_from(["Message", "body"]), JSON | st.binary() | st.text(), st.integers(0, MAX_ENVELOPES + 2))
def test_anything_within_envelopes_is_understood_or_refused(member: str, inner: Any, layers: int) -> None:
    """What a topic or a queue carries comes from strangers as well."""
    carried = inner if isinstance(inner, str) else json.dumps(repr(inner) if isinstance(inner, bytes) else inner)
    for _ in range(layers):
        carried = json.dumps(
            {"TopicArn": "t", "Message": carried} if member == "Message" else {"Records": [{"body": carried}]}
        )
    assert understands(lambda: parse("s3", carried.encode(errors="replace")))


@given(st.sampled_from(sorted(SOURCES)), st.binary())
def test_any_bytes_are_understood_or_refused(source: str, body: bytes) -> None:
    """Bodies come from the network."""
    assert understands(lambda: parse(source, body))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_body_is_json_in_utf_8_with_or_without_byte_order_mark(encoding: str) -> None:
    """Some gateways put a mark there."""
    body = json.dumps({"Records": [s3_record("é+1", source="ceph:s3")]}, ensure_ascii=False).encode(encoding)
    assert ["é+1"] == [hint.ref.key for hint in parse("s3", body).hints]


def test_the_source_chooses_the_parser() -> None:
    """Each source has its own envelope."""
    body = json.dumps(filer_event("/buckets/pics/a.jpg")).encode()
    assert ["seaweedfs"] == [hint.source for hint in parse("seaweedfs", body).hints]
    with pytest.raises(MalformedEventError, match="'Records'"):
        parse("s3", body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"^expected JSON: Expecting value at character 0$"),
        (b"{", r"^expected JSON: "),
        (b"\xff\xfe{\x00}\x00", r"^expected JSON in UTF-8; byte 0 is not UTF-8$"),
        (b"NaN", r"^expected JSON; NaN is not a JSON number$"),
        (b'{"x": -Infinity}', r"^expected JSON; -Infinity is not a JSON number$"),
        (b'{"Records": [], "Records": [1]}', r"^expected each member once; 'Records' is repeated$"),
        (b"9" * 5000, r"^expected numbers of fewer than 4,300 digits$"),
        (b"[" * 100_000, r"^expected JSON of at most 64 levels$"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, r"^expected JSON of at most 64 levels$"),
        (b"[]", r"^\$: expected an object, not an array$"),
        (b'{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "\\ud800"}}}]}', "lone surrogate"),
    ],
)
def test_what_is_not_plain_json_is_refused(body: bytes, message: str) -> None:
    """The error says what was expected."""
    with pytest.raises(MalformedEventError, match=message):
        parse("s3", body)


def test_the_depth_that_is_allowed_is_allowed() -> None:
    """The bound is on levels, not on brackets: one level of many brackets is fine."""
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse("s3", f'{{"Records": [], "x": {nested}}}'.encode()) == Envelope()
    assert parse("s3", b'{"Records": [], "x": [' + b"[]," * 500 + b"[]]}") == Envelope()
    with pytest.raises(MalformedEventError, match="levels"):
        parse("s3", f'{{"Records": [], "x": [{nested}]}}'.encode())


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    """The message lists the choices."""
    with pytest.raises(MalformedEventError, match="'gcs'; choose one of s3, seaweedfs"):
        parse("gcs", b"{}")
