"""Labelled development photos beside the checkout, and what they show. Not every machine has them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"
#: Labels of the shipped taxonomies for folders that are called otherwise.
_AS_LABEL = {"drawing": "illustration", "table": "text"}


def answers(taxonomy: str) -> Mapping[Path, str]:
    """Photo → its label, of ``time-of-day``, ``setting`` or ``document-page``."""
    if taxonomy == "setting":
        with (PHOTOS / "scenes" / "labels.csv").open(encoding="utf-8", newline="") as file:
            known = list(csv.DictReader(file))
        return {
            PHOTOS / "scenes" / each["file"]: each["setting"]
            for each in known
            if each["setting"] in ("indoor", "outdoor")
        }
    folder = PHOTOS / ("day-night" if taxonomy == "time-of-day" else "pages")
    return {photo: _AS_LABEL.get(photo.parent.name, photo.parent.name) for photo in sorted(folder.rglob("*.[jp]*g"))}
