"""``enrich taxonomy show`` of a taxonomy that no file here defines."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.commands import enrich
from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from worker.db import Engine


def test_a_taxonomy_in_force_is_shown(engine: Engine, tmp_path: Path) -> None:
    """Also if it was added by hand; an unknown name is refused as before."""
    Gallery.of(engine, CAUTIOUS)
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = enrich("taxonomy", "show", "colour", cwd=tmp_path, ENRICH_DATABASE_URL=url)
    assert (0, True) == (done.returncode, "red" in done.stdout), done
    unknown = enrich("taxonomy", "show", "colours", cwd=tmp_path, ENRICH_DATABASE_URL=url)
    assert (1, True) == (unknown.returncode, "colours: no such file or directory" in unknown.stderr), unknown
