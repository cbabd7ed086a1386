"""Whatever a file holds, and wherever it points: loading it ends as taxonomies, or as an error with file and line."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tagging.refused_files import VALID
from worker.errors import TaxonomyError
from worker.tagging import load_taxonomies, yaml_lines
from worker.tagging.loading import MAX_BYTES

_NUMBERS = (
    "1" + ":59" * 200 + ".5",
    "0x" + "f" * 5000,
    "1" * 5000,
    "0b" + "1" * 20_000,
    "1e400",
    "-.inf",
    ".nan",
    "190:20:30",
    "2001-99-99",
    "9999-12-31T23:59:59-23:00",
)
_TAGGED = [
    f"!!{tag} {value}" for tag in ("int", "float", "timestamp", "bool", "null", "merge") for value in ("''", "x", "-")
]
_SIGNS = (
    *"{}[]?:-,&*!|>'\"%@`#=~<",
    "\n",
    "\n  ",
    ": ",
    "- ",
    "<<: ",
    "&a ",
    "*a",
    "---\n",
    "\t",
    "\0",
    "\x85",
    "\u2028",
)
_WORDS = ("name", "labels", "vocabulary", "threshold", "prompts", "when", "models", "yes", "../x", "\ufeff")
_PIECES = st.sampled_from((*_NUMBERS, *_TAGGED, *_SIGNS, *_WORDS))
_SPLICES = st.lists(st.tuples(st.integers(0, 400), _PIECES), min_size=1, max_size=6)
_WHOLE = VALID + (
    "title: t\nthreshold: 0.5\nmargin: 0.1\nmodels: {some/model: {threshold: 0.4, templates: ['a {}']}}\n"
    "translations: {de: {title: Stimmung}}\nwhen: {setting: [indoor]}\n"
)


def _loaded(directory: Path, content: bytes) -> str:
    """What the file is refused with; nothing where it is taken. Any other error fails the test."""
    file = directory / "any.yaml"
    file.write_bytes(content)
    refused = ""
    try:
        load_taxonomies([str(file)])
    except TaxonomyError as error:
        refused = str(error)
    name = re.escape(str(file))
    assert [] == [line for line in refused.splitlines() if not re.match(rf"{name}:\d+: |{name}: and", line)]
    return refused


@pytest.mark.parametrize("number", _NUMBERS)
@pytest.mark.parametrize("place", ["name: {}\n", "{}: x\n", "threshold: {}\n", "labels: {{a: [{}]}}\n", "- {}\n"])
def test_no_number_is_too_large_to_be_refused(tmp_path, number, place):
    """In place of a name, a key, a threshold, a prompt or the whole: a sentence, and no traceback."""
    assert ":1: " in _loaded(tmp_path, place.format(number).encode())


@pytest.mark.parametrize("value", _TAGGED)
def test_tags_that_do_not_fit_their_values_are_refused(tmp_path, value):
    """What PyYAML's conversions raise is theirs to choose."""
    assert ":1: " in _loaded(tmp_path, f"name: {value}\n".encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(splices=_SPLICES)
def test_a_damaged_file_is_refused_or_taken(tmp_path, splices):
    """Pieces of YAML at any place of a valid file."""
    text = _WHOLE
    for place, piece in splices:
        text = text[:place] + piece + text[place:]
    _loaded(tmp_path, text.encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(_PIECES, max_size=30))
def test_nonsense_is_refused_or_taken(tmp_path, pieces):
    """YAML's own signs in any order."""
    _loaded(tmp_path, "".join(pieces).encode())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_bytes_are_refused_or_taken(tmp_path, content):
    """Any bytes at all."""
    _loaded(tmp_path, content)


def test_more_values_than_a_taxonomy_has_are_not_read(tmp_path, monkeypatch):
    """A small file can hold half a million values, which would be read for minutes; here the bound is lower."""
    monkeypatch.setattr(yaml_lines, "MAX_NODES", 1_000)
    assert "more than 1,000 values" in _loaded(tmp_path, b"[" + b"1," * 1_100 + b"]")


@pytest.mark.parametrize("end", ["", ".5"])
def test_a_number_in_base_sixty_does_not_take_the_square_of_its_length(tmp_path, end):
    """A file of 180 kB that is one number, which took seconds; a taxonomy of 1 MiB would have taken a minute."""
    started = time.process_time()
    assert "too large" in _loaded(tmp_path, b"name: 1" + b":59" * 60_000 + end.encode())
    assert time.process_time() - started < 1


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    """A gigabyte, of which nothing is on the disk; and a pipe that nobody writes to."""
    huge, pipe = tmp_path / "huge.yaml", tmp_path / "pipe.yaml"
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    os.mkfifo(pipe)
    for file_, says in ((huge, f"larger than {MAX_BYTES:,} bytes"), (pipe, "not a file")):
        with pytest.raises(TaxonomyError, match=says):
            load_taxonomies([str(file_)])


# -- where it points ---------------------------------------------------------------------------------------------------
@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the taxonomies' folder."""
    (tmp_path / "secret.txt").write_text("hunter2\nroot\n")
    (tmp_path / "taxonomies").mkdir()
    return tmp_path / "secret.txt"


@pytest.mark.parametrize(
    "name", ["../secret.txt", "{outside}", "./words.txt", "sub/../../secret.txt", "..", ".", "a\\b", "/dev/zero", "C:x"]
)
def test_a_vocabulary_is_the_name_of_a_file_beside_the_taxonomy(secret, name):
    """A path, wherever it leads, is refused at its line, and the file is not read."""
    file = secret.parent / "taxonomies" / "things.yaml"
    file.write_text(f"name: things\nvocabulary: '{name.format(outside=secret)}'\n")
    with pytest.raises(TaxonomyError, match=r"things\.yaml:2: vocabulary: must be the name of a file") as refused:
        load_taxonomies([str(file)])
    assert "hunter2" not in str(refused.value)


def test_a_link_out_of_the_folder_is_not_followed(secret):
    """Neither of a vocabulary, nor of a taxonomy in a directory: whoever may write there could have made it."""
    folder = secret.parent / "taxonomies"
    (folder / "words.txt").symlink_to(secret)
    (folder / "things.yaml").write_text("name: things\nvocabulary: words.txt\n")
    with pytest.raises(TaxonomyError, match=r"things\.yaml:2: vocabulary: is a link out of its folder"):
        load_taxonomies([str(folder / "things.yaml")])
    (folder / "link.yaml").symlink_to(secret)
    with pytest.raises(TaxonomyError, match=r"link\.yaml: is a link out of its folder"):
        load_taxonomies([str(folder)])


def test_links_that_stay_inside_are_followed(tmp_path):
    """As Kubernetes mounts the files of a ConfigMap."""
    version = tmp_path / "..2026_11_29"
    version.mkdir()
    (version / "words.txt").write_text("cup\n")
    (version / "things.yaml").write_text("name: things\nvocabulary: words.txt\n")
    (tmp_path / "..data").symlink_to(version.name)
    for name in ("words.txt", "things.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    [taxonomy] = load_taxonomies([str(tmp_path)])
    assert ["cup"] == [label.name for label in taxonomy.labels]
