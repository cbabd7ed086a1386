"""The demo: the real system on real photos, from an empty directory to search results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import urllib3
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker import bootstrap
from worker.catalog.read import TagRecord
from worker.cli import context, samples
from worker.cli.local_system import System, interruptible
from worker.cli.upload import Uploads, UploadSample, in_folder, upload
from worker.errors import EnrichError, NotFoundError
from worker.local.ports import PortPlan, free_port_base
from worker.pipeline.operations import quarantine, system_status
from worker.pipeline.reading import image_lookup
from worker.settings import Settings

_BUCKET = "demo"
_SHOWN = 40
_ABSTAINED = "–"
_MEANING_OF_A_DASH = (
    "– means that no label was certain enough, so the taxonomy abstains instead of guessing, or that it does not "
    "apply to the image."
)
_COLUMNS = {"time-of-day": "time of day", "setting": "setting", "document-page": "page type", "subject": "subject"}
_SEARCHES = ("a cat", "a rocket launching into the sky")
_OWN_SEARCHES = ("people outdoors", "a page with text")
#: Longest wait for the next image: a slow machine must not count as stuck.
_PATIENCE = 120.0
#: How often progress is printed when there is no progress bar.
_TELL_EVERY = 10.0
#: The user's settings that a demo honours. None of them names a server: a demo must not write into production.
_HONOURED = frozenset(
    {
        "model",
        "model_revision",
        "device",
        "dtype",
        "preprocessing",
        "encoder_batch",
        "torch_threads",
        "taxonomies",
        "home",
        "log_level",
    }
    | {"max_bytes", "max_pixels", "max_side", "concurrency", "claim_batch", "fetch_threads", "decode_threads"}
)


@dataclass(kw_only=True, slots=True)
class _Run:
    """What runs, and when each upload was acknowledged."""

    system: System
    settings: Settings
    uploaded: Uploads = field(default_factory=dict)


def run(*, photos: Path | None, port_base: int | None, stay: bool) -> None:
    """Start everything, upload, wait, show; then stay until Ctrl-C, or stop."""
    started = time.monotonic()
    own = settings_of_a_demo(context.own_settings())
    files = in_folder(photos, longest=own.max_bytes) if photos else [UploadSample(*each) for each in samples.photos()]
    home = own.home / "demo"  # apart from the data of `enrich up`
    try:
        with interruptible(), _system(own, home, port_base) as system:
            demo = _Run(system=system, settings=system.settings())
            _enrich(demo, files)
            _show(demo, stay=stay)
            _search(demo, _OWN_SEARCHES if photos else _SEARCHES)
            context.say(f"{time.monotonic() - started:.0f} s from an empty directory to search results")
            if stay:
                system.stay()
    finally:
        context.say("stopped; nothing is left running")


def settings_of_a_demo(own: Settings) -> Settings:
    """The user's settings, without servers from the environment or a ``.env``."""
    honoured = own.model_fields_set & _HONOURED
    values = {name: getattr(own, name) for name in honoured}
    return Settings.model_construct(set(honoured), **values, buckets=(_BUCKET,))


def _system(own: Settings, home: Path, port_base: int | None) -> System:
    ports = PortPlan(base=port_base or free_port_base())
    system = System(own, home=home, ports=ports, buckets=[_BUCKET], say=context.say)
    system.forget_everything()
    context.say(f"the model is {bootstrap.describe_model(own)}")
    return system


# -- uploading and waiting ---------------------------------------------------------------------------------------------
def _enrich(demo: _Run, files: Sequence[UploadSample]) -> None:
    """Upload, and wait until every object has an outcome. The store's own notifications drive this; we only watch."""
    total = len(files)
    context.say(f"uploading {total:,} file{'s' * (total != 1)} to s3://{_BUCKET} …")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with context.progress(*columns) as progress:
        bar = progress.add_task("uploading", total=total)
        demo.uploaded = upload(
            bootstrap.store(demo.settings), _BUCKET, files, uploaded=lambda: progress.advance(bar), say=context.say
        )
        progress.reset(bar, total=len(demo.uploaded), description="enriching what the store announced")
        for done in _outcomes(demo):
            progress.update(bar, completed=done)


def _outcomes(demo: _Run) -> Iterator[int]:
    """Yield the number of objects done until all are."""
    total, done, moved, told = len(demo.uploaded), 0, time.monotonic(), time.monotonic()
    while done < total:
        now, before, done = time.monotonic(), done, _done(demo)
        yield done
        moved = now if done > before else moved
        if now - moved > _PATIENCE:
            logs = demo.system.stack.home.logs
            raise EnrichError(f"nothing was enriched for {_PATIENCE:.0f} s ({done:,} of {total:,} done); see {logs}")
        if now - told > _TELL_EVERY and not context.err.is_terminal:
            context.say(f"{done:,} of {total:,} done")
            told = now
        demo.system.stack.supervisor.check()
        time.sleep(0.1)


def _done(demo: _Run) -> int:
    found = system_status.totals(demo.system.engine, bucket=_BUCKET)
    return found.enriched + found.excluded + found.quarantined


# -- showing -----------------------------------------------------------------------------------------------------------
def _show(demo: _Run, *, stay: bool) -> None:
    totals = system_status.totals(demo.system.engine, bucket=_BUCKET)
    if totals.enriched:
        table = _table(demo)
        context.out.print(table)
        if any(_ABSTAINED in column.cells for column in table.columns):
            context.line(_MEANING_OF_A_DASH)
            if stay:
                context.line(
                    f"While this runs, `enrich explain {_BUCKET}/KEY` shows every number behind a tag or a dash."
                )
        if totals.enriched > _SHOWN:
            context.line(f"… and {totals.enriched - _SHOWN:,} more")
    _print_quarantine(demo)
    context.line(
        f"\n{len(demo.uploaded):,} uploaded = {totals.enriched:,} enriched + {totals.excluded:,} excluded (not images) "
        f"+ {totals.quarantined:,} quarantined + {totals.pending:,} pending\n"
    )


def _table(demo: _Run) -> Table:
    table = Table("image", *_COLUMNS.values(), "searchable after", title="Results", pad_edge=False)
    for ref, uploaded in sorted(demo.uploaded.items()):
        if table.row_count == _SHOWN:
            break
        try:
            record = image_lookup.image(demo.system.engine, ref)
        except NotFoundError:
            continue
        seconds = max((record.enriched_at - uploaded).total_seconds(), 0)
        table.add_row(context.name(ref.key), *cells(record.tags), f"{seconds:.1f} s")
    return table


def cells(tags: Iterable[TagRecord]) -> Iterator[str]:
    """A cell for each taxonomy in the table: labels separated by commas, or a dash if there are none."""
    labels: dict[str, list[str]] = {taxonomy: [] for taxonomy in _COLUMNS}
    for tag in tags:
        if tag.active and tag.label and tag.taxonomy in labels:
            labels[tag.taxonomy].append(tag.label)
    return (", ".join(labels[taxonomy]) or _ABSTAINED for taxonomy in _COLUMNS)


def _print_quarantine(demo: _Run) -> None:
    choice = quarantine.QuarantineQuery(bucket=_BUCKET)
    found = quarantine.listing(demo.system.engine, choice, limit=_SHOWN)
    if found.entries:
        context.line("\nIn quarantine:")
    for entry in sorted(found.entries, key=lambda entry: entry.key):
        context.line(f"  {context.name(entry.key)} ({entry.reason}): {entry.message}", style="yellow")
    if (more := sum(quarantine.counts(demo.system.engine, choice).values()) - len(found.entries)) > 0:
        context.line(f"  … and {more:,} more")


def _search(demo: _Run, texts: Sequence[str]) -> None:
    for text in texts:
        table = Table("similarity", "image", box=None, pad_edge=False)
        for hit in _hits(demo, text):
            table.add_row(f"{hit['similarity']:.2f}", context.name(str(hit["key"])))
        context.line(f"Search for “{text}”")
        context.out.print(table if table.row_count else "nothing found", "")


def _hits(demo: _Run, text: str) -> list[dict[str, object]]:
    """Ask the API, as a service would."""
    info = demo.system.info
    response = urllib3.request(
        "POST",
        f"{info.api_url}/v1/search",
        json={"text": text, "limit": 3},
        headers={"Authorization": f"Bearer {info.api_token}"},
        timeout=60,
    )
    if response.status != 200:  # noqa: PLR2004
        raise EnrichError(f"searching failed with {response.status}: {response.data.decode()}")
    hits: list[dict[str, object]] = json.loads(response.data)["hits"]
    return hits
