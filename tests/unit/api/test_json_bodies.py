"""Limits on the values of JSON bodies."""

from __future__ import annotations

import base64
import json

import pytest
from fastapi import HTTPException
from pydantic import ValidationError

from worker.api.example_models import Example
from worker.api.json_bodies import parsed


def refusal(body: bytes) -> str:
    with pytest.raises(HTTPException) as refused:
        parsed(body)
    assert 413 == refused.value.status_code
    return str(refused.value.detail)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"like":[' + b"[]," * 60_000 + b"[]]}", "the body has more than 50,000 lists and objects; send less"),
        (b'{"like":[' + b"{}," * 60_000 + b"{}]}", "the body has more than 50,000 lists and objects; send less"),
        (b"{" + b",".join(b'"%d":1' % each for each in range(101_000)) + b"}", "more than 100,000 members of objects"),
        (b'{"like":[' + b"1," * 1_300_000 + b"1]}", "more than 1,200,000 values; send less at once, and vectors as"),
        (b'{"like":[' + b'"",' * 1_300_000 + b"1]}", "more than 1,200,000 values"),
        (('{"like":[' + "[]," * 60_000 + "[]]}").encode("utf-16"), "more than 50,000 lists and objects"),
    ],
)
def test_too_many_values_are_refused_before_they_are_read(body, why):
    """Each kind has a limit, and the error says what to send instead."""
    assert why in refusal(body)


def test_large_requests_are_read():
    """Vectors as numbers, files, and texts with any characters are far below the limits."""
    vectors = {"like": [{"vector": [0.125] * 4_096}] * 32}
    assert vectors == parsed(json.dumps(vectors).encode())
    file = {"input": [{"data": base64.b64encode(b"\xfb" * (20 << 20)).decode()}]}
    assert file == parsed(json.dumps(file).encode())
    texts = {"definitions": ['labels: {a: ["[{,:\\"]}' * 100_000], "more": "é\n\\"}
    assert texts == parsed(json.dumps(texts).encode())


def test_one_error_about_the_numbers_of_a_vector():
    """The first wrong number is named, not every one; more numbers than any model has are too many."""
    with pytest.raises(ValidationError) as refused:
        Example.model_validate({"vector": [1.0, "a", "b", "c"]})
    assert [1] == [each["loc"][-1] for each in refused.value.errors() if "list" in str(each["loc"])]
    with pytest.raises(ValidationError, match="at most 65536 items"):
        Example.model_validate({"vector": [1.0] * 65_537})
