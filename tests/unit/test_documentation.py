"""The written documentation: what it links to and what it names exists."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = {"build", "dist", "_schemas"}
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: Pages as texts, messages and comments name them, from the root of the repository.
NAMED = re.compile(r"(?<![\w/.-])docs/[\w/-]+\.(?:md|svg)")
#: Files and folders as pages name them.
PATH = re.compile(r"`((?:bench|deploy|docs|schemas|tests|training|worker)/[\w./-]*)`")
SOURCES = {".py", ".md", ".yml", ".yaml", ".json", ".toml"}


def is_ours(folder: Path) -> bool:
    return folder.is_dir() and folder.name not in BUILT and (folder.name[0] != "." or folder.name == ".github")


def files(suffixes: set[str]) -> list[Path]:
    """The repository's files of these kinds, without what tools leave beside them."""
    inside = (each for folder in ROOT.iterdir() if is_ours(folder) for each in folder.rglob("*"))
    return sorted(each for each in (*ROOT.iterdir(), *inside) if each.suffix in suffixes and each.is_file())


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = files({".md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists, and every anchor a heading in it."""
    broken = []
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if ":" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked.resolve())):
            broken.append(target)

    assert [] == broken


def test_pages_named_in_messages_and_comments_exist() -> None:
    """Wherever the repository names a page by its path, the page is there."""
    # What a migration wrote into databases stays as it was written.
    naming = [ROOT / "Makefile", *(each for each in files(SOURCES) if "migrations" not in each.parts)]
    named = {(str(each.relative_to(ROOT)), path) for each in naming for path in NAMED.findall(each.read_text())}

    assert [] == sorted((where, path) for where, path in named if not (ROOT / path).exists())


def test_the_index_of_decisions_lists_every_record() -> None:
    """Number, title and file of each record, in order, with a date and a status."""
    folder = ROOT / "docs/decisions"
    records = [(each.name, each.read_text().splitlines()[0]) for each in sorted(folder.glob("0*.md"))]
    row = re.compile(
        r"^\| (\d+) \| \[(.+?)\]\((.+?)\) \| \d{4}-\d\d-\d\d \| (?:accepted|amended|superseded).* \|$", re.MULTILINE
    )
    listed = [(name, f"# {number}. {title}") for number, title, name in row.findall((folder / "README.md").read_text())]

    assert records == listed


#: The others speak of the past.
PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md" and page.parent.name != "decisions"]


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_folders_named_on_pages_exist(page: Path) -> None:
    """Every path of this repository that a page puts between backticks is there; NAME stands for the reader's own."""
    named = [path for path in PATH.findall(page.read_text()) if "NAME" not in path]

    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_the_picture_of_the_layers_shows_the_contracts() -> None:
    """Each module and folder that import-linter puts into a layer is a box, in the same order, and no other is."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rows = {each["containers"][0]: each["layers"] for each in linter["contracts"] if each["type"] == "layers"}
    code = [
        name
        for row in rows["worker"]
        for layer in ([row] if row != "pipeline" else rows["worker.pipeline"])
        for name in sorted(layer.split(" | "))
    ]
    picture = ET.parse(ROOT / "docs/architecture-layers.svg").iter("{http://www.w3.org/2000/svg}text")
    boxes = [(float(text.attrib["y"]), text.text) for text in picture if text.attrib["class"] == "t"]

    assert code == [name for _, name in sorted(boxes)]
