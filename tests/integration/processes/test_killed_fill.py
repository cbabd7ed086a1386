"""``enrich space fill`` as a process that is killed half-way."""

from __future__ import annotations

from sqlalchemy import text

from tests.fakes import ColourEncoder
from tests.integration.processes.site import Site, terminate
from worker import catalog
from worker.db import transaction
from worker.pipeline.spaces import lifecycle
from worker.pipeline.spaces.model_loading import ModelSetting

IMAGES = 30
FILL = ("-m", "tests.integration.processes.fake_worker", "--fill", "2")


def counts(site: Site) -> tuple[int, int]:
    """Images that have a vector in the second space, and those that have a tag there."""
    query = text("""
        SELECT (SELECT count(*) FROM embeddings WHERE space_id = 2) AS vectors,
               (SELECT count(DISTINCT image_id) FROM tags WHERE space_id = 2) AS tagged
    """)
    with transaction(site.engine) as connection:
        row = connection.execute(query).one()
    return row.vectors, row.tagged


def test_what_a_killed_fill_has_done_is_kept_and_the_next_one_does_the_rest(site: Site) -> None:
    """SIGKILL with batches in hand: nothing is embedded twice but what was in hand, nothing is missing, and it ends."""
    site.start()
    site.upload(*(f"{number}.jpg" for number in range(IMAGES)))
    site.until_enriched(IMAGES)
    terminate(site.running[-1])
    lifecycle.create(site.engine, ModelSetting(model="other", revision=None), lambda *_: ColourEncoder("other"))
    killed = site.start(FILL, wait=False, TEST_ENCODE_SECONDS="0.3")
    site.until(lambda: counts(site)[0] >= 4, seconds=60)
    killed.kill()
    killed.wait()
    before, _ = counts(site)
    assert 0 < before < IMAGES
    again = site.start(FILL, wait=False)
    assert 0 == again.wait(90), site.log(again)
    assert f"{IMAGES - before} images embedded" in site.log(again)
    assert (IMAGES, IMAGES) == counts(site)
    with transaction(site.engine) as connection:
        assert (True, 0) == (catalog.partitions.has_index(connection, 2), catalog.spaces.missing_in(connection, 2))
    assert 1 == lifecycle.activate(site.engine, 2, force=False).before
