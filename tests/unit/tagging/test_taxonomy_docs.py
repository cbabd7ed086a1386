"""What the pages on taxonomies show must work as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from worker import resources
from worker.errors import TaxonomyError
from worker.tagging import load_taxonomy
from worker.tagging.validation import schema

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "reference" / "taxonomies.md"
TUTORIAL = DOCS / "tutorials" / "first-taxonomy.md"
SMALLEST = {"name": "example", "labels": {"a": ["one"], "b": ["two"]}}
WORDS = "espresso\ncappuccino\n"
EXAMPLES = [
    example
    for page in (PAGE, TUTORIAL, DOCS / "how-to" / "change-taxonomies.md")
    for example in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.split(":")[0])
def test_each_example_is_valid(tmp_path: Path, example: str) -> None:
    """Whole, or put into the smallest taxonomy."""
    file = tmp_path / "example.yaml"
    (tmp_path / "words.txt").write_text(WORDS, "utf-8")
    smallest = SMALLEST if "vocabulary:" not in example else {}
    missing = {key: value for key, value in smallest.items() if f"{key}:" not in example}
    file.write_text(example + (yaml.safe_dump(missing) if missing else ""), "utf-8")

    assert load_taxonomy(file).labels


def test_every_field_is_documented_with_an_example() -> None:
    """A field of the schema that the page does not show does not exist for its readers."""
    shown = {key for example in EXAMPLES for key in yaml.safe_load(example)}

    assert shown == set(schema()["properties"])


def test_the_refusals_shown_are_those_given(tmp_path: Path) -> None:
    """The tutorial quotes two messages."""
    file = tmp_path / "things.yaml"
    file.write_text("name: mood\n\n\n\ntreshold: 0.4\nlabels:\n  a: [b]\n  c: [d]\n  no: [e]\n", "utf-8")
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomy(file)
    given = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    shown = re.findall(r"^things\.yaml:\d.*$", TUTORIAL.read_text("utf-8"), flags=re.MULTILINE)

    assert [line.rstrip("…").strip() for line in shown] == [
        message[: len(line.rstrip("…").strip())] for message, line in zip(given, shown, strict=True)
    ]


def test_the_page_names_what_ships() -> None:
    """Each shipped taxonomy is mentioned where a reader begins."""
    beginning = PAGE.read_text("utf-8").split("##", maxsplit=1)[0]
    shipped = {file.stem for file in (resources.schemas_dir() / "taxonomies").glob("*.yaml")}

    assert shipped == set(re.findall(r"`([a-z-]+)`", beginning))
