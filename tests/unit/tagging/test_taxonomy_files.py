"""What a taxonomy file may say, and the answer to each way of getting it wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import TaxonomyError
from worker.tagging import Calibration, Label, Taxonomy, load_taxonomy

VALID = """\
name: mood
labels:
  happy: [a smile]
  sad: [a tear]
"""


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


def _load(tmp_path: Path, content: str) -> Taxonomy:
    file = tmp_path / "taxonomy.yaml"
    file.write_text(content, "utf-8")
    return load_taxonomy(file)


def test_the_smallest_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    """Name and two labels suffice; prompts are used as written, the threshold is a half."""
    expected = Taxonomy(
        name="mood",
        title="mood",
        labels=(
            Label(name="happy", title="happy", prompts=("a smile",)),
            Label(name="sad", title="sad", prompts=("a tear",)),
        ),
        templates=("{}",),
        aggregate="mean",
        calibration=Calibration(threshold=0.5, margin=0.0, temperature=1.0),
    )

    assert expected == _load(tmp_path, VALID)


def test_every_field_arrives(tmp_path: Path) -> None:
    """A file that uses all of the language is read completely; overrides inherit what they leave out."""
    content = """\
name: mood
title: Mood
description: >
  How a picture
  feels.
templates: ["{}", "a photo of {}"]
aggregate: max
threshold: 0.6
margin: 0.1
temperature: 2
background: [a wall]
labels:
  happy: {title: Joyful, description: Smiles., aliases: [glad], prompts: [a smile, a laugh]}
  sad: [a tear]
models:
  starter: {threshold: 0.3}
  openai/clip-vit-base-patch32: {margin: 0.2, temperature: 0.5}
"""
    expected = Taxonomy(
        name="mood",
        title="Mood",
        description="How a picture feels.",
        labels=(
            Label(
                name="happy",
                title="Joyful",
                description="Smiles.",
                aliases=("glad",),
                prompts=("a smile", "a laugh"),
            ),
            Label(name="sad", title="sad", prompts=("a tear",)),
        ),
        templates=("{}", "a photo of {}"),
        aggregate="max",
        background=("a wall",),
        calibration=Calibration(threshold=0.6, margin=0.1, temperature=2.0),
        models={
            "starter": Calibration(threshold=0.3, margin=0.1, temperature=2.0),
            "openai/clip-vit-base-patch32": Calibration(threshold=0.6, margin=0.2, temperature=0.5),
        },
    )

    assert expected == _load(tmp_path, content)


def test_a_model_without_an_entry_uses_the_general_calibration(tmp_path: Path) -> None:
    """Overrides are for the model they name and no other."""
    taxonomy = _load(tmp_path, VALID + "threshold: 0.7\nmodels: {starter: {threshold: 0.2}}\n")

    assert taxonomy.calibration_for("starter").threshold == 0.2
    assert taxonomy.calibration_for("openai/clip-vit-base-patch32").threshold == 0.7


def test_prompts_are_data_whatever_characters_they_have(tmp_path: Path) -> None:
    """Braces, percent signs, quotes and other scripts reach the model as written; only spacing is tidied."""
    content = (
        'name: odd\ntemplates: ["see {}"]\nlabels:\n  Straße 1:\n    - "{curly} 100 %s \'x\'"\n'
        "    - |\n      two\n      lines\n  夜景: [夜の街]\n"
    )
    taxonomy = _load(tmp_path, content)

    expected = ("see two lines", "see {curly} 100 %s 'x'")

    assert expected == taxonomy.label_texts(taxonomy.labels[0])
    assert [label.name for label in taxonomy.labels] == ["Straße 1", "夜景"]


def test_characters_are_composed_so_that_editors_make_no_difference(tmp_path: Path) -> None:
    """A Mac may write é as e and an accent: to people, filters and versions it is the same letter."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    loaded = [_load(tmp_path, f"name: a\nlabels:\n  {word}: [{word}]\n  b: [c]\n") for word in (composed, decomposed)]

    assert loaded[0] == loaded[1]
    assert composed == loaded[1].labels[0].name


def test_an_alias_may_repeat_its_own_label(tmp_path: Path) -> None:
    """Redundant, but nothing is ambiguous."""
    taxonomy = _load(tmp_path, "name: a\nlabels:\n  day: {prompts: [b], aliases: [Day, daytime]}\n  night: [c]\n")

    assert taxonomy.labels[0].aliases == ("Day", "daytime")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    """Editors on Windows write both; the taxonomy is the same, version included."""
    plain = _load(tmp_path, VALID)
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())

    assert plain == load_taxonomy(file)


# Content, and the complete message.
REFUSED = {
    "unknown field": (
        VALID + "threshhold: 0.4\n",
        (
            "FILE:5: threshhold: unknown field; did you mean 'threshold'?; the fields here are aggregate, background, "
            "description, labels, margin, models, name, temperature, templates, threshold, title"
        ),
    ),
    "unknown label field": (
        "name: a\nlabels:\n  b: [c]\n  d:\n    prompts: [e]\n    alias: [f]\n",
        (
            "FILE:6: labels.d.alias: unknown field; did you mean 'aliases'?; "
            "the fields here are aliases, description, prompts, title"
        ),
    ),
    "unknown calibration field": (
        VALID + "models:\n  starter:\n    treshold: 0.4\n",
        (
            "FILE:7: models.starter.treshold: unknown field; did you mean 'threshold'?; "
            "the fields here are margin, temperature, threshold"
        ),
    ),
    "mistyped starter": (
        VALID + "models:\n  startr: {threshold: 0.4}\n",
        "FILE:6: models.startr: no model is called 'startr'; did you mean 'starter'?",
    ),
    "impossible model": (
        VALID + "models:\n  a/b/c: {threshold: 0.4}\n",
        (
            "FILE:6: models.a/b/c: 'a/b/c' does not fit: starter, a hub id such as openai/clip-vit-base-patch32, "
            "or the name of a model directory"
        ),
    ),
    "missing field": (
        "title: Mood\nlabels: {a: [b], c: [d]}\n",
        (
            "FILE:1: the field 'name' is missing: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy"
        ),
    ),
    "bad name": (
        VALID.replace("mood", "My Mood"),
        (
            "FILE:1: name: 'My Mood' does not fit: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy"
        ),
    ),
    "bad choice": (
        VALID + "aggregate: sum\n",
        "FILE:5: aggregate: must be one of mean, max, not 'sum'",
    ),
    "mistyped choice": (
        VALID + "aggregate: Mean\n",
        "FILE:5: aggregate: must be one of mean, max, not 'Mean'; did you mean 'mean'?",
    ),
    "threshold too high": (VALID + "threshold: 40\n", "FILE:5: threshold: must be 1 or less, not 40"),
    "threshold not a number": (VALID + "threshold: 'high'\n", "FILE:5: threshold: must be a number, not 'high'"),
    "not finite": (VALID + "margin: .nan\n", "FILE:5: margin: .nan is not a finite number"),
    "temperature zero": (VALID + "temperature: 0\n", "FILE:5: temperature: must be 0.001 or more, not 0"),
    "template without braces": (
        VALID + "templates:\n  - '{}'\n  - a photo of\n",
        (
            "FILE:7: templates[1]: 'a photo of' does not fit: a sentence with exactly one {} where the prompt goes "
            "and no other braces, such as: a photo of {}"
        ),
    ),
    "template with a name in braces": (
        VALID + "templates: ['a photo of {label}']\n",
        (
            "FILE:5: templates[0]: 'a photo of {label}' does not fit: a sentence with exactly one {} where the prompt "
            "goes and no other braces, such as: a photo of {}"
        ),
    ),
    "template that forgot its quotes": (
        VALID + "templates:\n  - {}\n",
        "FILE:6: templates[0]: must be text, not a map (key: value); put it in quotes",
    ),
    "prompt with a colon": (
        VALID.replace("[a tear]", "['a tear', blue: a mood]"),
        "FILE:4: labels.sad[1]: must be text, not a map (key: value); put it in quotes",
    ),
    "empty prompt": (VALID.replace("[a tear]", "[a tear, '  ']"), "FILE:4: labels.sad[1]: must not be empty"),
    "missing prompt": (
        VALID.replace("[a tear]", "\n    - a tear\n    -\n"),
        "FILE:6: labels.sad[1]: must be text, not nothing",
    ),
    "no prompts": (VALID.replace("[a tear]", "[]"), "FILE:4: labels.sad: must not be empty"),
    "label without value": (
        VALID.replace(" [a tear]", ""),
        "FILE:4: labels.sad: must be a list or a map (key: value), not nothing",
    ),
    "prompt read as boolean": (
        VALID.replace("[a tear]", "[no]"),
        "FILE:4: labels.sad[0]: must be text, not false; put it in quotes",
    ),
    "prompt read as number": (
        VALID.replace("[a tear]", "[1984]"),
        "FILE:4: labels.sad[0]: must be text, not 1984; put it in quotes",
    ),
    "prompt read as date": (
        VALID.replace("[a tear]", "[2024-01-31]"),
        "FILE:4: labels.sad[0]: must be text, not 2024-01-31; put it in quotes",
    ),
    "Norway": (
        "name: country\nlabels:\n  se: [Sweden]\n  no: [Norway]\n",
        "FILE:4: labels.no: YAML reads the key 'no' as a boolean; put it in quotes: 'no'",
    ),
    "year as label": (
        "name: year\nlabels:\n  1984: [eighties]\n  now: [today]\n",
        "FILE:3: labels.1984: YAML reads the key '1984' as a number; put it in quotes: '1984'",
    ),
    "comma in label": (
        VALID.replace("sad:", "'sad, blue':"),
        (
            "FILE:4: labels.sad, blue: 'sad, blue' does not fit: 1 to 64 printable characters without comma or equals "
            "sign, and no space at either end"
        ),
    ),
    "line break in label": (
        VALID.replace("sad:", r'"sad\n":'),
        (
            r"FILE:4: labels.'sad\n': 'sad\n' does not fit: 1 to 64 printable characters without comma or equals "
            "sign, and no space at either end"
        ),
    ),
    "duplicate key": (
        VALID + "  happy: [a grin]\n",
        "FILE:5: labels.happy: the key 'happy' is already on line 3; keep one of them",
    ),
    "labels that look the same": (
        "name: page\nlabels:\n  blank page: [a]\n  Blank_Page: [b]\n",
        "FILE:4: labels.Blank_Page: the same label as 'blank page' on line 3, but for case or punctuation",
    ),
    "labels that look the same in another width": (
        "name: a\nlabels:\n  day: [b]\n  ＤＡＹ: [c]\n",
        "FILE:4: labels.ＤＡＹ: the same label as 'day' on line 3, but for case or punctuation",
    ),
    "two fields missing": (
        "title: Mood\n",
        (
            "FILE:1: the field 'name' is missing: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy\n"
            "FILE:1: the field 'labels' is missing: the possible answers. Keys are the labels as they are stored; "
            "values are a list of prompts, or a map with prompts and what people see"
        ),
    ),
    "empty prompts of two labels": (
        "name: a\nlabels:\n  b: ['']\n  c: ['']\n",
        "FILE:3: labels.b[0]: must not be empty\nFILE:4: labels.c[0]: must not be empty",
    ),
    "one anchor twice": (
        "name: a\nlabels:\n  b: &x [c]\n  d: &x [e]\n",
        "FILE:3: the anchor &x is not allowed; remove it\nFILE:4: the anchor &x is not allowed; remove it",
    ),
    "alias of another label": (
        "name: a\nlabels:\n  day: {prompts: [b], aliases: [dawn]}\n  Dawn: [c]\n",
        "FILE:3: labels.day.aliases[0]: 'dawn' is a label itself, on line 4",
    ),
    "prompt of two labels": (
        VALID.replace("a tear", "a  smile"),
        "FILE:4: labels.sad[0]: 'a  smile' is a prompt of labels.happy, line 3, too: it cannot tell the two apart",
    ),
    "prompt of a label and the background": (
        VALID + "background: [a tear]\n",
        "FILE:5: background[0]: 'a tear' is a prompt of labels.sad, line 4, too: it cannot tell the two apart",
    ),
    "one label alone": (
        "name: a\nlabels: {b: [c]}\n",
        "FILE:1: needs two labels, or one label and background prompts: alone, a label would fit every image",
    ),
    "tag": (
        VALID.replace("[a tear]", "!!python/object/apply:os.system [a tear]"),
        "FILE:4: labels.sad: the YAML tag !!python/object/apply:os.system is not allowed; taxonomies are plain data",
    ),
    "tag of its own": (
        VALID.replace("name: mood", "name: !secret mood"),
        "FILE:1: name: the YAML tag !secret is not allowed; taxonomies are plain data",
    ),
    "impossible number": (VALID + "margin: !!float much\n", "FILE:5: margin: 'much' is not a number"),
    "a list as key": (VALID + "? [a]\n: b\n", "FILE:5: a key must be text, not a list or a map"),
    "merge key": (
        VALID + "<<: {threshold: 1}\n",
        "FILE:5: <<: YAML reads the key '<<' as a merge key; put it in quotes: '<<'",
    ),
    "tab": (
        "name: mood\nlabels:\n\thappy: [a smile]\n",
        "FILE:3: a tab where YAML allows only spaces; indent and separate with spaces",
    ),
    "unclosed bracket": (
        "name: mood\nlabels: {happy: [a smile\n",
        "FILE:3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
    ),
    "two documents": (
        VALID + "---\n" + VALID,
        "FILE:5: not valid YAML: expected a single document in the stream, but found another document",
    ),
    "control character": (
        VALID + "title: a\x07b\n",
        "FILE:5: the character U+0007 is not allowed in YAML; remove it",
    ),
    "escaped control character": (
        VALID.replace("a tear", r'"a\0tear"'),
        "FILE:4: labels.sad[0]: the character U+0000 is not allowed in text; remove it",
    ),
    "half a surrogate pair": (
        VALID.replace("a tear", r'"a\uD83Dtear"'),
        "FILE:4: labels.sad[0]: the character U+D83D is not allowed in text; remove it",
    ),
    "escaped control character in a key": (
        VALID.replace("sad", r'"s\x1bd"'),
        "FILE:4: labels: the character U+001B is not allowed in text; remove it",
    ),
    "empty": ("# nothing yet\n", "FILE:1: the file is empty; docs/taxonomies.md shows the smallest valid one"),
    "a list": ("- a\n- b\n", "FILE:1: must be a map (key: value), not a list"),
    "text": ("mood", "FILE:1: must be a map (key: value), not 'mood'"),
    "null": ("null", "FILE:1: must be a map (key: value), not nothing"),
    "too deep": ("[" * 100_000, "FILE:1: not valid YAML: more than 20 levels deep"),
}


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
    assert refusal(VALID.encode("utf-16")) == "FILE:1: byte 0xff is not UTF-8; save the file as UTF-8"


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

    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "6", "7", "8"]


def test_the_message_stays_short_when_a_file_is_wrong_everywhere(refusal: Callable[[str | bytes], str]) -> None:
    """Fifty problems are shown, the rest counted, long keys and values cut."""
    message = refusal(VALID + "".join(f"field{number}{'x' * 200}: 1\n" for number in range(500)))

    assert len(message.splitlines()) == 51
    assert message.splitlines()[-1] == "FILE: and at least 450 more problems"
    assert max(map(len, message.splitlines())) < 300


def test_a_huge_file_is_refused_before_it_is_parsed(refusal: Callable[[str | bytes], str]) -> None:
    """A mebibyte is the most."""
    expected = "FILE: larger than 1,048,576 bytes; split it into several taxonomies"

    assert expected == refusal(VALID + "#" * (1 << 20))


def test_more_texts_than_a_model_can_encode_are_refused(refusal: Callable[[str | bytes], str]) -> None:
    """Prompts and templates multiply; the product has a limit, too."""
    labels = {f"label {number}": [f"prompt {number}"] for number in range(1100)}
    content = json.dumps({"name": "a", "labels": labels, "templates": [f"{number} {{}}" for number in range(100)]})

    assert refusal(content) == "FILE:1: 110,000 texts to encode (prompts × templates); at most 100,000 are allowed"


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
_fields = st.sampled_from(["name", "title", "templates", "aggregate", "threshold", "background", "labels", "models"])


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
