"""A store that notifies nobody: the real scheduler, a real worker, a real store, and no event at all."""

from __future__ import annotations

import json
import subprocess

from tests.acceptance.commands import ENRICH
from tests.integration.processes.site import SCHEDULER, Site, terminate
from tests.pictures import picture
from worker import catalog
from worker.db import transaction
from worker.types import ObjectRef


def etag_of(site: Site, key: str) -> str | None:
    """The etag in the catalog; None where it has no such image."""
    with transaction(site.engine) as connection:
        found = catalog.read.image(connection, ObjectRef(bucket=site.bucket, key=key))
    return found.etag if found else None


def reconcile(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [ENRICH, "reconcile", *arguments]
    return subprocess.run(command, env=site.environment(), capture_output=True, text=True, timeout=60, check=False)


def test_new_overwritten_and_deleted_objects_are_noticed_without_a_single_event(site: Site) -> None:
    """Listing alone keeps the catalog true, also after the scheduler was restarted; where it is can be seen."""
    put = site.store.put
    first, second = (ObjectRef(bucket=site.bucket, key=key) for key in ("folder/1.jpg", "folder!/2.jpg"))
    put(first, picture("red"), "image/jpeg")
    put(second, picture("red"), "image/jpeg")
    site.start()
    scheduler = site.start(SCHEDULER, ENRICH_RECONCILE_SECONDS="1")
    site.until_enriched(2, seconds=60)
    assert 0 == terminate(scheduler)
    etag = put(first, picture("blue"), "image/jpeg")
    site.store.delete(second)
    site.start(SCHEDULER, ENRICH_RECONCILE_SECONDS="1")
    site.until(lambda: (etag_of(site, first.key), etag_of(site, second.key)) == (etag, None), seconds=60)
    [found] = json.loads(reconcile(site, "--json").stdout)
    assert (site.bucket, "", None) == (found["bucket"], found["prefix"], found["last_error"])
    assert f"{site.bucket} " in reconcile(site, site.bucket).stdout
    unknown = reconcile(site, "other")
    assert (1, True) == (unknown.returncode, f"ENRICH_BUCKETS names {site.bucket}" in unknown.stderr)
