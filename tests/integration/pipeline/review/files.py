"""Images, and files of decisions about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.ledger import BUCKET
from worker import catalog
from worker.catalog.decisions import Verdict
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import Engine, transaction
from worker.pipeline.review.decide import DecisionRequest
from worker.pipeline.review.formats.reading import open_file
from worker.pipeline.review.formats.rows import BadRow, ReadOptions
from worker.pipeline.review.import_file import ImportOptions, ImportReport, Listeners, import_file
from worker.pipeline.review.resolve_rows import Defaults
from worker.types import ObjectRef, Tag

TAXONOMIES: dict[str, dict[str, Any]] = {
    "time-of-day": {"labels": [{"name": "day", "title": "Daylight"}, {"name": "twilight"}, {"name": "night"}]},
    "setting": {"labels": [{"name": "indoor"}, {"name": "outdoor"}]},
    "things": {"mode": "multi-label", "labels": [{"name": "cat"}, {"name": "sofa"}, {"name": "lamp"}]},
    "kinds": {"labels": [{"name": "animal", "children": [{"name": "dog"}, {"name": "hen"}]}, {"name": "vehicle"}]},
}
KEYS = ("a.jpg", "b.jpg", "c.jpg", "2026/quay.jpg")


def fill(engine: Engine, keys: Iterable[str]) -> None:
    """Images of which a model says `day`, `cat` and `sofa`."""
    versions = [
        TaxonomyVersion(name=name, version="v1", many=name in ("things", "kinds"), definition=definition)
        for name, definition in TAXONOMIES.items()
    ]
    said = [("time-of-day", "day"), ("things", "cat"), ("things", "sofa")]
    tags = tuple(Tag(taxonomy=name, version="v1", label=label, score=0.5, probability=0.75) for name, label in said)
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, versions)
        space = catalog.spaces.ensure(connection, spec())
        enriched = [replace(enriched_image(key), tags=tags) for key in keys]
        catalog.write.save_images(connection, space_id=space.id, images=enriched)


@dataclass
class Heard:
    """What an import says."""

    problems: list[BadRow] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)

    def messages(self) -> list[str]:
        return [f"{row.place}: {row.message}" for row in self.problems]


def bring(engine: Engine, file: Path, heard: Heard | None = None, **more: Any) -> ImportReport:
    read = {"bucket": BUCKET, "taxonomy": "time-of-day"} | {
        name: more.pop(name) for name in ("taxonomies", "labels", "prefix", "strip", "taxonomy") if name in more
    }
    defaults = Defaults(reviewer=more.pop("reviewer", "ada"), new_labels=more.pop("new_labels", False))
    options = ImportOptions(read=ReadOptions(**read), defaults=defaults, **more)
    heard = heard or Heard()

    def progress(done: int, of: int | None) -> None:
        heard.progress.append((done, of))

    return import_file(engine, open_file(file), options, Listeners(problem=heard.problems.append, progress=progress))


def written(folder: Path, content: str, name: str = "f") -> Path:
    (folder / name).write_text(content)
    return folder / name


def tags(engine: Engine) -> set[tuple[str, str, str, str]]:
    query = text("SELECT key, taxonomy, label, source FROM image_tags")
    with transaction(engine) as connection:
        return {tuple(row) for row in connection.execute(query)}


def decided(engine: Engine, key: str, taxonomy: str = "time-of-day") -> list[str]:
    return sorted(label for k, t, label, source in tags(engine) if (k, t, source) == (key, taxonomy, "human"))


def count(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(connection.execute(text("SELECT count(*) FROM decisions")).scalar_one())


def ref(key: str) -> ObjectRef:
    return ObjectRef(bucket=BUCKET, key=key)


def ask(key: str, taxonomy: str, verdict: Verdict, label: str | None = None, **more: Any) -> DecisionRequest:
    return DecisionRequest(ref=ref(key), taxonomy=taxonomy, verdict=verdict, label=label, **more)
