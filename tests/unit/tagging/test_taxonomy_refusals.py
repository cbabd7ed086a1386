"""The answer to each way of getting a taxonomy file wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tagging import refused_files, refused_language
from tests.unit.tagging.refused_files import VALID
from worker.errors import TaxonomyError
from worker.tagging import Taxonomy, load_taxonomy
from worker.tagging.validation import schema


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[str | bytes], str]:
    """The message a file's content is refused with, its path reduced to FILE."""

    def refuse(content: str | bytes) -> str:
        file = tmp_path / "mood.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(TaxonomyError) as caught:
            load_taxonomy(file)
        return str(caught.value).replace(str(file), "FILE")

    return refuse


REFUSED = refused_files.REFUSED | refused_language.REFUSED


@pytest.mark.parametrize(("content", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_answered_with_line_place_and_choices(
    refusal: Callable[[str | bytes], str], content: str, expected: str
) -> None:
    """Each way to get a file wrong has one clear answer, and only that one."""
    assert expected == refusal(content)


def test_bytes_that_are_not_utf8_are_refused(refusal: Callable[[str | bytes], str]) -> None:
    """The byte and its line are named."""
    expected = "FILE:2: byte 0xe9 is not UTF-8; save the file as UTF-8"

    assert expected == refusal("name: mood\ntitle: café\n".encode("latin-1"))


def test_utf16_is_refused(refusal: Callable[[str | bytes], str]) -> None:
    """Even with its byte order mark: one encoding is enough."""
    assert "FILE:1: byte 0xff is not UTF-8; save the file as UTF-8" == refusal(VALID.encode("utf-16"))


def test_anchors_and_aliases_are_refused_each_on_its_line(refusal: Callable[[str | bytes], str]) -> None:
    """Nothing is expanded, not even a cycle."""
    expected = (
        "FILE:3: the anchor &all is not allowed; remove it\n"
        "FILE:4: the alias *all is not allowed; write the value out\n"
        "FILE:5: the alias *nothing is not allowed; write the value out"
    )

    assert expected == refusal("name: a\nlabels:\n  b: &all [c]\n  d: *all\n  e: *nothing\n")


def test_an_alias_bomb_is_refused_without_being_expanded(refusal: Callable[[str | bytes], str]) -> None:
    """Nine levels of nine references would be 387 million entries."""
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
    )

    assert "FILE:2: the anchor &a1 is not allowed; remove it" in refusal(bomb).splitlines()


def test_all_problems_of_a_file_are_reported_in_order(refusal: Callable[[str | bytes], str]) -> None:
    """YAML's, the schema's and the content's problems come together, sorted by line."""
    content = """\
name: Mood
treshold: 0.4
aggregate: men
labels:
  happy: [a smile]
  no: [a frown]
  Happy: [a grin]
  sad: ['']
"""
    lines = refusal(content).splitlines()

    assert ["1", "2", "3", "6", "7", "8"] == [line.split(":")[1] for line in lines]


def test_the_message_stays_short_when_a_file_is_wrong_everywhere(refusal: Callable[[str | bytes], str]) -> None:
    """Fifty problems are shown, the rest counted, long keys and values cut."""
    message = refusal(VALID + "".join(f"field{number}{'x' * 200}: 1\n" for number in range(500)))

    assert 51 == len(message.splitlines())
    assert "FILE: and at least 450 more problems" == message.splitlines()[-1]
    assert max(map(len, message.splitlines())) < 300


def test_a_huge_file_is_refused_before_it_is_parsed(refusal: Callable[[str | bytes], str]) -> None:
    """A mebibyte is the most."""
    expected = "FILE: larger than 1,048,576 bytes; split it into several taxonomies"

    assert expected == refusal(VALID + "#" * (1 << 20))


def test_more_texts_than_a_model_can_encode_are_refused(refusal: Callable[[str | bytes], str]) -> None:
    """Prompts and templates multiply; the product has a limit, too."""
    labels = {f"label {number}": [f"prompt {number}"] for number in range(1100)}
    content = json.dumps({"name": "a", "labels": labels, "templates": [f"{number} {{}}" for number in range(100)]})

    assert "FILE:1: 110,000 texts to encode (prompts × templates); at most 100,000 are allowed" == refusal(content)


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_makes_anything_but_a_taxonomy_or_a_refusal(tmp_path: Path, content: str) -> None:
    """Whatever follows a valid beginning, the loader answers in its own words."""
    file = tmp_path / "fuzz.yaml"
    file.write_bytes((VALID + content).encode("utf-8", "surrogatepass"))
    try:
        loaded: object = load_taxonomy(file)
    except TaxonomyError as error:
        loaded = error

    assert isinstance(loaded, Taxonomy) or str(loaded).startswith(f"{file}:")


_json = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from(sorted(schema()["properties"]))


@given(st.dictionaries(_fields, _json, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_value_of_a_known_field_makes_anything_but_a_taxonomy_or_a_refusal(
    tmp_path: Path, content: dict[str, object]
) -> None:
    """Every field survives values of every kind."""
    file = tmp_path / "fuzz.yaml"
    file.write_text(json.dumps(content, ensure_ascii=True), "utf-8")
    try:
        loaded: object = load_taxonomy(file)
    except TaxonomyError as error:
        loaded = error

    assert isinstance(loaded, Taxonomy) or str(loaded).startswith(f"{file}:")
