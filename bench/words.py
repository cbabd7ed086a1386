"""Searches for words in the keys of a million images: how long they take, and what their index costs.

python -m bench.words          (into the database that ENRICH_DATABASE_URL names, which is to be empty)
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import text

from tests.factories import spec
from worker import catalog, db
from worker.catalog.image_filter import ImageFilter
from worker.db import Engine, snapshot, transaction
from worker.pipeline.reading.word_match import WordMatcher
from worker.pipeline.taxonomies.active_taxonomies import keep
from worker.tagging import Label, Taxonomy

_IMAGES = 1_000_000
_STEP = 50_000
_ROUNDS = 15
#: A camera's folders: a year, a month, a place of 5,000, a subject of 200 that are not equally frequent, a number.
_FILL = text("""
    INSERT INTO images (bucket, key, etag, size, width, height, format, mode, frames, orientation, sha256, phash,
                        hinted_at)
    SELECT 'archive',
           format('%s/%s/Place%s/%sPicture_%s.jpg', 2000 + n % 25, 1 + n % 12, 7919 * n % 5000,
                  'subject' || chr(97 + (200 * power(random(), 3))::int % 26) || (200 * power(random(), 3))::int,
                  lpad(n::text, 8, '0')),
           md5(n::text), 1000000, 4000, 3000, 'JPEG', 'RGB', 1, 1, sha256(n::text::bytea), hashint8extended(n, 1),
           now()
    FROM generate_series(CAST(:first AS bigint), :first + :step - 1) AS n
""")
#: A half, a third, and one in 10,000.
_TAGS = text("""
    INSERT INTO tags (image_id, space_id, taxonomy, taxonomy_version, label, score, probability, source)
    SELECT id, :space, 'light', :version,
           CASE WHEN id % 10000 = 0 THEN 'fog' WHEN id % 2 = 0 THEN 'day' WHEN id % 3 = 0 THEN 'sunset' END,
           0.5, 0.9, 'zero-shot'
    FROM images WHERE id BETWEEN :first AND :first + :step - 1
""")
_LIGHT = Taxonomy(
    name="light",
    labels=(
        Label(name="day", prompts=("day",)),
        Label(name="sunset", aliases=("golden hour",), prompts=("sunset",)),
        Label(name="fog", prompts=("fog",)),
    ),
)
_QUERIES = {
    "the name of a file": "picture 00765432",
    "a rare word": "place 4711",
    "two words": "subjectb place 1234 2013",
    "a sentence": "a photo of a subjectc at place 77 in 2004",
    "a word that all keys have": "place",
    "a word that no key has": "giraffe",
    "a label that 100 images have": "fog",
    "a label that a sixth of the images have": "golden hour",
    "a label and a word": "fog at place 77",
}


def fill(engine: Engine) -> None:
    """A million images, of which only keys and tags matter."""
    keep(engine, [_LIGHT])
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
    for first in range(1, _IMAGES, _STEP):
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers
            connection.execute(_FILL, {"first": first, "step": _STEP})
            given = {"space": space.id, "version": _LIGHT.version, "first": first, "step": _STEP}
            connection.execute(_TAGS, given)


def rows(engine: Engine) -> Iterator[str]:
    """Milliseconds of each query, without a filter, with one, and with 200 images found by meaning."""
    matcher = WordMatcher()
    filters = {"": ImageFilter(), ", in one prefix": ImageFilter(bucket="archive", prefix="2004/")}
    for name, query in _QUERIES.items():
        for which, filter_ in filters.items():
            spent, found, process = [], 0, _Process(engine)
            for each in range(_ROUNDS):
                among = np.random.default_rng(each).integers(1, _IMAGES, 200).tolist()
                began = time.perf_counter()
                with snapshot(engine) as connection:
                    found = len(matcher(connection, query, filter_=filter_, among=among).matches)
                spent.append(1000 * (time.perf_counter() - began))
            server, own = process.milliseconds()
            numbers = [np.quantile(spent, 0.5), np.quantile(spent, 0.95), server / _ROUNDS, own / _ROUNDS]
            yield f"| {name}{which} | {found:,} | {' | '.join(f'{each:.1f}' for each in numbers)} |"


class _Process:
    """The processor's time that the server's process and this one take, however busy the machine is."""

    def __init__(self, engine: Engine) -> None:
        with engine.connect() as connection:  # the pool gives the same one again
            self._server = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        self._begun = self._now()

    def milliseconds(self) -> tuple[float, float]:
        """The server's and our own since it began."""
        return tuple(1000 * (now - then) for now, then in zip(self._now(), self._begun, strict=True))  # type: ignore[return-value]

    def _now(self) -> tuple[float, float]:
        fields = Path(f"/proc/{self._server}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), time.process_time()


def main() -> None:
    """Fill, index and measure."""
    engine = db.connect(os.environ["ENRICH_DATABASE_URL"], name="bench", pool_size=1)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("DROP INDEX images_key_words"))
    fill(engine)
    began = time.perf_counter()
    catalog.indexes.build(engine)
    print(f"index built in {time.perf_counter() - began:.0f} s")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE images, tags"))
        sizes = text("SELECT pg_relation_size('images_key_words') >> 20, pg_total_relation_size('images') >> 20")
        print("index {} MiB of {} MiB".format(*connection.execute(sizes).one()))
    print("\n".join(rows(engine)))


if __name__ == "__main__":
    main()
