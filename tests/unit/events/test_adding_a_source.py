"""docs/how-to/add-a-source.md does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from worker.events import Source

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "add-a-source.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


def test_the_module_in_the_document_understands_the_fixture_in_the_document() -> None:
    """Copied as they stand, they fit together."""
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    source: Source = names["EXAMPLE"]
    body, expected = map(json.loads, blocks("json"))
    named = [{"bucket": hint.ref.bucket, "key": hint.ref.key} for hint in source.parse(body).hints]
    assert (expected["source"], expected["objects"]) == (source.name, named)
    assert 1 == len(source.parse(dict(source.example)).hints)


def test_the_line_in_the_document_is_that_of_the_table() -> None:
    """With the example behind the sources that there are; whoever adds one need not touch the document."""
    table = (Path(__file__).resolve().parents[3] / "worker" / "events" / "decoding.py").read_text()
    line, _, rest = blocks("python")[1].strip().partition(", example.EXAMPLE")
    assert line in table
    assert ")}" == rest
