"""What the heads are taught words for, read from ``vocabulary.yaml``, and what captions or a class say of a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

_DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("vocabulary.yaml").read_text(encoding="utf-8"))

#: Every tag and ways to say it.
PROMPTS: dict[str, list[str]] = _DATA["prompts"]
TAGS = tuple(PROMPTS)
INDEX = {tag: number for number, tag in enumerate(TAGS)}
#: Questions with one answer: the tags to choose from, by the question's name.
GROUPS: dict[str, list[str]] = _DATA["groups"]
OPPOSITES: dict[str, str] = _DATA["opposites"]
#: Captions and tags of a folder's pictures, by the folder's name.
FOLDERS: dict[str, dict[str, list[str]]] = _DATA["folders"]
#: What in a caption reveals a tag.
RULES = {tag: re.compile("|".join(words), re.IGNORECASE) for tag, words in _DATA["captions"].items()}

_NOT_PLAINLY_DAY = re.compile(r"dark|light|evening|sunset|sunrise|dusk|night", re.IGNORECASE)
_TIMES = {"day", "night", "dawn", "dusk"}
#: The trial's synthetic pages carry their kind in the file's name.
_OLD_PAGE_KINDS = {"print": "printed", "hand": "handwritten", "draw": "drawing", "chart": "drawing"} | {
    "photo": "photograph", "shot": "screenshot", "table": "table", "blank": "blank",
}  # fmt: skip
_NAME_TEMPLATES = (
    "a photo of {a}", "{a}", "{n}", "a picture of {a}", "a photo with {a} in it", "a close-up of {a}", "this is {a}",
)  # fmt: skip


def caption_tags(captions: Iterable[str]) -> set[str]:
    """What the captions of one photo say about it, where they do not contradict each other."""
    text = " ".join(captions)
    tags = {tag for tag, rule in RULES.items() if rule.search(text)} | {"scene"}
    if {"indoor", "outdoor"} <= tags:
        tags -= {"indoor", "outdoor"}
    if "night" in tags:
        tags -= {"day"}
    elif "outdoor" in tags and not _NOT_PLAINLY_DAY.search(text):
        tags.add("day")
    if not tags & {"indoor", "outdoor"}:
        tags.add("closeup")  # of surroundings that five people do not mention there is little to see
    return tags - _TIMES | {"timeless"} if "indoor" in tags else tags


def _numbers(text: str) -> frozenset[int]:
    """``"0-3 7"`` is 0, 1, 2, 3 and 7."""
    parts = [part.split("-") for part in text.split()]
    return frozenset(number for part in parts for number in range(int(part[0]), int(part[-1]) + 1))


_CLASSES = {tag: _numbers(text) for tag, text in _DATA["classes"].items()}


def class_tags(number: int) -> set[str]:
    """The tags of an ImageNet class."""
    return {tag for tag, numbers in _CLASSES.items() if number in numbers}


def with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def class_prompts(name: str) -> list[str]:
    """Ways to say that a picture shows a thing of this name."""
    return [template.format(a=with_article(name), n=name) for template in _NAME_TEMPLATES]


def folder_of(file: str) -> str:
    """The key of :data:`FOLDERS` for a file of a feature set."""
    *_, folder, name = file.split("/")
    return _OLD_PAGE_KINDS[name.split("_")[0]] if folder == "synth_docs" else folder
