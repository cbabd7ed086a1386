"""A store that announces nothing: the scheduler finds everything by listing (docs/how-to/connect-a-store.md)."""

from __future__ import annotations

from tests.integration.processes.site import SCHEDULER, Site
from tests.pictures import picture
from worker.types import ObjectRef


def test_a_store_without_notifications_is_served_by_reconciliation(site: Site) -> None:
    """Uploads, overwrites and deletions that nobody announced end in the catalog as they are in the store."""

    def put(key: str, colour: str) -> None:
        site.store.put(ObjectRef(bucket=site.bucket, key=key), picture(colour), "image/jpeg")

    for key in ("a.jpg", "b c+d.jpg", "ü.jpg"):
        put(key, "red")
    site.start()
    site.start(SCHEDULER, ENRICH_RECONCILE_SECONDS="1")
    site.until_enriched(3)
    before = site.enriched_at()
    put("a.jpg", "blue")
    site.store.delete(ObjectRef(bucket=site.bucket, key="ü.jpg"))
    site.until(lambda: (site.totals().gone, site.totals().pending) == (1, 0) and site.enriched_at()[0] > before[0])
    assert (site.totals().enriched, site.enriched_at()[1]) == (2, before[1])
