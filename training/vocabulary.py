"""What the heads are taught words for, and what captions or a class say of a picture.

Read from ``vocabulary.yaml`` and, for plain things of which there are many, ``names.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def _read(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


_DATA: dict[str, Any] = _read("vocabulary.yaml")
#: Everyday names, and the ImageNet classes they cover as in ``"0-3 7"``.
NAMES = {name: str(classes) for name, classes in _read("names.yaml").items()}
_NAMED = ("{a}", "a photo of {a}", "a photo with {a} in it", "a picture of {a}")

#: Every tag and ways to say it.
PROMPTS: dict[str, list[str]] = _DATA["prompts"] | {
    name: [template.format(a=with_article(name)) for template in _NAMED] for name in NAMES
}
TAGS = tuple(PROMPTS)
INDEX = {tag: number for number, tag in enumerate(TAGS)}
#: Questions with one answer: the tags to choose from, by the question's name.
GROUPS: dict[str, list[str]] = _DATA["groups"] | {"thing": [*NAMES, *_DATA["things"]]}
#: Tags that are names of things.
THINGS: tuple[str, ...] = tuple(GROUPS["thing"])
OPPOSITES: dict[str, str] = _DATA["opposites"]
#: Captions and tags of a folder's pictures, by the folder's name.
FOLDERS: dict[str, dict[str, list[str]]] = _DATA["folders"]
#: What in a caption reveals a tag; of a thing, its name does.
RULES = {tag: re.compile("|".join(words), re.IGNORECASE) for tag, words in _DATA["captions"].items()}
NAME_RULES = {name: re.compile(rf"\b{name}(e?s)?\b", re.IGNORECASE) for name in NAMES}

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
    tags = {tag for tag, rule in (RULES | NAME_RULES).items() if rule.search(text)} | {"scene"}
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


_CLASSES = {tag: _numbers(text) for tag, text in (_DATA["classes"] | NAMES).items()}


def class_tags(number: int) -> set[str]:
    """The tags of an ImageNet class."""
    return {tag for tag, numbers in _CLASSES.items() if number in numbers}


def class_prompts(name: str) -> list[str]:
    """Ways to say that a picture shows a thing of this name."""
    return [template.format(a=with_article(name), n=name) for template in _NAME_TEMPLATES]


def folder_of(file: str) -> str:
    """The key of :data:`FOLDERS` for a file of a feature set."""
    *_, folder, name = file.split("/")
    return _OLD_PAGE_KINDS[name.split("_")[0]] if folder == "synth_docs" else folder
