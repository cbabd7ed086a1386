"""A process that applies one of several sets of taxonomies, in small blocks: ``python -m … URL NUMBER``.

With a NAME in place of the number, it adds a taxonomy of that name to those in force.
"""

from __future__ import annotations

import sys

from tests.integration.pipeline.taxonomies.archive import COLOUR, STRICT, TWO, Archive, colours
from worker import db
from worker.pipeline.taxonomies import changes, retag

SETS = ((COLOUR,), (STRICT, colours("other")), (TWO,), (colours("other", threshold=0.8), COLOUR))


def main(url: str, what: str) -> None:
    """Apply, and say so."""
    retag.BLOCK = 20
    archive = Archive.of(db.connect(url, name="applier"), COLOUR)
    tell("ready")
    tell(str(archive.apply(*SETS[int(what)]) if what.isdigit() else archive.change(changes.added([colours(what)]))))


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
