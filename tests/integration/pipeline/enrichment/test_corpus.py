"""Every kind of upload through the whole use case: tags, or a reason a person understands; never a stopped batch."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.conftest import World
from tests.ledger import pending, ref
from tests.unit.images.corpus import CORPUS, LIMITS


@pytest.mark.parametrize("world", [LIMITS], indirect=True)
def test_every_upload_ends_as_tags_or_as_a_reason(world: World):
    """Bombs, cut files, rotated, palette, 16-bit, animated, HEIC, lies: each its own outcome."""
    for name, sample in CORPUS.items():
        world.upload(f"{name}/{sample.key}", sample.build())
    while world.run() is not None:
        continue
    refused = {f"{name}/{sample.key}": str(sample.reason) for name, sample in CORPUS.items() if sample.reason}
    tagged = {f"{name}/{sample.key}" for name, sample in CORPUS.items() if not sample.reason}
    assert (0, refused) == (pending(world.engine), world.quarantine())
    assert tagged == {key for kind, key in world.feed(limit=1_000) if kind == "enriched"}
    assert all("colour" in world.tags(key) for key in tagged)


@pytest.mark.parametrize("world", [LIMITS], indirect=True)
def test_the_reason_is_kept_with_the_first_bytes(world: World):
    """A person can see for themselves what was uploaded."""
    world.upload("page.jpg", b"<html><body>404 Not Found</body></html>")
    world.run()
    [found] = world.quarantined()
    assert "HTML" in found.message
    assert (b"<html><body>404 Not Found</body></html>", 39, world.store.head(ref("page.jpg")).etag) == (
        found.first_bytes,
        found.size,
        found.etag,
    )
