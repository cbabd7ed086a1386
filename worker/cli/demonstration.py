"""The demo: the real system on real photos, from an empty directory to search results."""

from __future__ import annotations

import json
import mimetypes
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker import bootstrap
from worker.catalog import ImageRecord
from worker.cli import context, samples
from worker.cli.system import System
from worker.errors import ConfigurationError, EnrichError, NotFoundError
from worker.local import PortPlan, free_port_base
from worker.pipeline import overview, query
from worker.settings import Settings
from worker.types import ObjectRef

_BUCKET = "demo"
_SHOWN = 40
_COLUMNS = {"time-of-day": "time of day", "setting": "setting", "document-page": "page type", "subject": "subject"}
#: What to search for: one phrase a person would type, one that wants a tag filter's company.
_SEARCHES = ("a cat", "a rocket launching into the sky")
_OWN_SEARCHES = ("people outdoors", "a page with text")
#: Longest wait for one more image to be done; a slow machine is not a stuck one.
_PATIENCE = 120.0


@dataclass(kw_only=True, slots=True)
class _Run:
    """What was uploaded, and when each upload was acknowledged."""

    system: System
    settings: Settings
    uploaded: dict[ObjectRef, datetime] = field(default_factory=dict)


def run(*, photos: Path | None, port_base: int | None, stay: bool, home: Path) -> None:
    """Start everything, upload, wait, show; then stay until Ctrl-C, or stop."""
    started = time.monotonic()
    files = _own(photos) if photos else samples.photos()
    shutil.rmtree(home, ignore_errors=True)
    ports = PortPlan(base=port_base or free_port_base())
    settings = _without_own_servers(context.own_settings())
    context.say(f"model: {bootstrap.describe_model(settings)}")
    with _interruptible(), System(settings, home=home, ports=ports, bucket=_BUCKET, say=context.say) as system:
        demo = _Run(system=system, settings=system.settings())
        _upload(demo, files)
        _wait(demo)
        _show(demo)
        _search(demo, _OWN_SEARCHES if photos else _SEARCHES)
        context.say(f"{time.monotonic() - started:.0f} s from nothing to search results")
        if stay:
            context.err.print(system.banner(), highlight=False)
            system.run()
    context.say("stopped; nothing is left running")


def _without_own_servers(own: Settings) -> Settings:
    """The user's choices, but none of their servers: a demo must not write into somebody's production."""
    kept = ("model", "model_revision", "device", "dtype", "taxonomies", "log_level")
    return Settings.model_validate({name: getattr(own, name) for name in kept if name in own.model_fields_set})


def _own(folder: Path) -> list[tuple[str, Callable[[], bytes]]]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if not found:
        raise ConfigurationError(f"{folder} holds no files; name a folder with photos")
    return [(path.relative_to(folder).as_posix(), path.read_bytes) for path in found]


def _upload(demo: _Run, files: Sequence[tuple[str, Callable[[], bytes]]]) -> None:
    context.say(f"uploading {len(files)} files to s3://{_BUCKET} …")
    store = bootstrap.store(demo.settings)

    def put(file: tuple[str, Callable[[], bytes]]) -> None:
        key, read = file
        ref = ObjectRef(bucket=_BUCKET, key=key)
        store.put(ref, read(), mimetypes.guess_type(key)[0] or "application/octet-stream")
        demo.uploaded[ref] = datetime.now(UTC)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, files))


def _wait(demo: _Run) -> None:
    """Until every uploaded object has an outcome. The store's own notifications drive this; we only look."""
    total, last, since = len(demo.uploaded), -1, time.monotonic()
    columns = (TextColumn("the store's events are enriched"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=context.err, transient=True) as progress:
        bar = progress.add_task("enriching", total=total)
        while (done := _done(demo)) < total:
            progress.update(bar, completed=done)
            if done > last:
                last, since = done, time.monotonic()
            if time.monotonic() - since > _PATIENCE:
                logs = demo.system.stack.home.logs
                raise EnrichError(f"nothing was enriched for {_PATIENCE:.0f} s ({done} of {total} done); see {logs}")
            demo.system.stack.supervisor.check()
            time.sleep(0.1)


def _done(demo: _Run) -> int:
    found = overview.overview(demo.system.engine, bucket=_BUCKET).totals
    return found.enriched + found.excluded + found.quarantined


def _show(demo: _Run) -> None:
    table = Table("image", *_COLUMNS.values(), "searchable after", title="What the system found out", pad_edge=False)
    refused: list[str] = []
    for ref, uploaded in sorted(demo.uploaded.items()):
        try:
            record = query.image(demo.system.engine, ref)
        except NotFoundError as error:
            refused.append(str(error).removeprefix(f"{_BUCKET}/").replace("is not in the catalog: ", ""))
            continue
        if table.row_count < _SHOWN:
            table.add_row(ref.key, *_labels(record), f"{max((record.enriched_at - uploaded).total_seconds(), 0):.1f} s")
    context.out.print(table)
    if table.row_count == _SHOWN:
        context.out.print(f"… the first {_SHOWN} of {len(demo.uploaded) - len(refused)}")
    for line in refused[:_SHOWN]:
        context.out.print(f"  {line}", highlight=False, markup=False, style="yellow")
    _balance(demo)


def _labels(record: ImageRecord) -> Iterator[str]:
    labels = {tag.taxonomy: tag.label for tag in record.tags if tag.active}
    return (labels.get(taxonomy) or "–" for taxonomy in _COLUMNS)


def _balance(demo: _Run) -> None:
    found = overview.overview(demo.system.engine, bucket=_BUCKET).totals
    context.out.print(
        f"\n{len(demo.uploaded)} uploaded = {found.enriched} enriched + {found.excluded} excluded (no images) "
        f"+ {found.quarantined} quarantined + {found.pending} pending\n",
        highlight=False,
    )


def _search(demo: _Run, texts: Sequence[str]) -> None:
    info = demo.system.info
    for text in texts:
        response = urllib3.request(
            "POST",
            f"{info.api_url}/v1/search",
            json={"text": text, "limit": 3},
            headers={"Authorization": f"Bearer {info.api_token}"},
            timeout=60,
        )
        if response.status != 200:  # noqa: PLR2004
            raise EnrichError(f"searching failed with {response.status}: {response.data.decode()}")
        table = Table("similarity", "image", title=f"search “{text}”", title_justify="left", pad_edge=False)
        for hit in json.loads(response.data)["hits"]:
            table.add_row(f"{hit['similarity']:.2f}", hit["key"])
        context.out.print(table)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: everything is stopped on the way out."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
