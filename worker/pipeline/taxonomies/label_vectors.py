"""The use case: store label vectors, so that labels can be searched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from worker import catalog, logs, tagging
from worker.catalog.label_vectors import LabelSet, LabelVector
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import TaxonomyError
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.tagging import EncodeTexts, Taxonomy

_log = logs.get("pipeline")

#: Texts encoded between two transactions, so that little is lost when a process ends.
_TEXTS_AT_ONCE = 256
#: Seconds between two checks for taxonomies whose labels are not stored yet.
_INTERVAL = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelVectorWriter:
    """Stores missing label vectors of the taxonomies in use, in one space."""

    engine: Engine
    space: Space
    encode_texts: EncodeTexts

    def run(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Store all missing vectors, in transactions of a few hundred texts.

        Args:
            stopped: asked between transactions; what is left then is left to the next run, here or elsewhere.

        Returns:
            How many labels were stored; None if another process is storing them.
        """
        if not self._missing():
            return 0
        with self.engine.connect() as session:  # holds the lock, in no transaction
            autocommit = session.execution_options(isolation_level="AUTOCOMMIT")
            if not catalog.label_vectors.lock_labels(autocommit, self.space.id):
                return None
            try:
                return self._fill(stopped)
            finally:
                catalog.label_vectors.unlock_labels(autocommit, self.space.id)

    def _missing(self) -> bool:
        with transaction(self.engine) as connection:
            if catalog.spaces.space(connection, self.space.id) is None:
                return False  # it was dropped
            wanted = catalog.taxonomies.versions_in_use(connection)
            sets = catalog.label_vectors.label_sets(connection, self.space.id)
        ready = {(each.taxonomy, each.version) for each in sets if each.ready}
        return set(wanted.items()) != ready

    def _fill(self, stopped: Callable[[], bool]) -> int:
        with transaction(self.engine) as connection:
            wanted = catalog.taxonomies.versions_in_use(connection)
            catalog.label_vectors.index_labels(connection, self.space)
        stored = 0
        for taxonomy, version in wanted.items():
            with transaction(self.engine) as connection:
                begun = catalog.label_vectors.begin_label_set(connection, self.space.id, taxonomy, version)
            if begun is not None and not begun.ready:
                stored += self._try_set(begun, stopped)
            if stopped():
                return stored
        with transaction(self.engine) as connection:
            sets = catalog.label_vectors.label_sets(connection, self.space.id)
            ready = {(each.taxonomy, each.version) for each in sets if each.ready}
            kept = [each.id for each in sets if _stays(each, wanted, ready)]
            catalog.label_vectors.forget_label_sets(connection, self.space.id, but=kept)
        return stored

    def _try_set(self, begun: LabelSet, stopped: Callable[[], bool]) -> int:
        try:
            return self._fill_set(begun, stopped)
        except TaxonomyError as error:  # the other taxonomies must not wait for an upgrade
            _log.warning("labels of a taxonomy could not be stored; retrying", action="labels", error=str(error))
            return 0

    def _fill_set(self, begun: LabelSet, stopped: Callable[[], bool]) -> int:
        with transaction(self.engine) as connection:
            definition = catalog.taxonomies.definition(connection, begun.taxonomy, begun.version)
            there = catalog.label_vectors.stored_labels(connection, begun.id)
        if definition is None:
            return 0
        taxonomy = tagging.restore(definition, version=begun.version)
        texts = tagging.texts_of_labels(taxonomy, self.space.model)
        stored = 0
        for batch in _batches({label: own for label, own in texts.items() if label not in there}):
            if stopped():
                return stored
            rows = self._rows(taxonomy, batch)
            with transaction(self.engine) as connection:
                if not catalog.label_vectors.store_labels(connection, self.space.id, begun.id, rows):
                    return stored  # the taxonomy or the space was dropped
            stored += len(batch)
        with transaction(self.engine) as connection:
            finished = catalog.label_vectors.finish_label_set(connection, begun.id)
        if not finished:
            return stored
        _log.info(
            f"{len(texts):,} labels of {taxonomy.name} are searchable in space {self.space.id}",
            action="labels",
            taxonomy=taxonomy.name,
            version=taxonomy.version,
            space=self.space.id,
        )
        return stored

    def _rows(self, taxonomy: Taxonomy, batch: Mapping[str, Sequence[str]]) -> list[LabelVector]:
        texts = list(dict.fromkeys(text for own in batch.values() for text in own))
        vectors = dict(zip(texts, self.encode_texts(texts), strict=True))
        return [
            LabelVector(label=row.label, text=row.text, ranks=row.ranks, vector=row.vector)
            for row in tagging.label_rows(taxonomy, batch, vectors)
        ]


def _stays(of: LabelSet, wanted: Mapping[str, str], ready: Collection[tuple[str, str]]) -> bool:
    """Whether a set is in use, or is searched until the one in use is complete."""
    version = wanted.get(of.taxonomy)
    return version is not None and (of.version == version or (of.taxonomy, version) not in ready)


def _batches(texts: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Sequence[str]]]:
    """Groups of a few hundred texts; the texts of a label stay together."""
    batch: dict[str, Sequence[str]] = {}
    for label, own in texts.items():
        batch[label] = own
        if sum(map(len, batch.values())) >= _TEXTS_AT_ONCE:
            yield batch
            batch = {}
    if batch:
        yield batch


class LabelVectorIndexer:
    """Stores label vectors on its own thread while a worker runs, so that images never wait for labels."""

    def __init__(self, *, interval: float = _INTERVAL) -> None:
        self._fillers: dict[int, LabelVectorWriter] = {}
        self._mutex = threading.Lock()
        self._thread = PeriodicThread(
            "labels",
            self._step,
            action="labels",
            failure="labels could not be stored; retrying",
            interval=interval,
        )

    def add(self, filler: LabelVectorWriter) -> None:
        """Add a space whose labels to store."""
        with self._mutex:
            self._fillers[filler.space.id] = filler
        self._thread.hurry()

    def remove(self, space: Space) -> None:
        """Remove a space, after the current batch."""
        with self._mutex:
            self._fillers.pop(space.id, None)

    def start(self) -> None:
        """Run until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current batch; another worker continues from there."""
        self._thread.stop()

    def _step(self) -> None:
        with self._mutex:
            fillers = list(self._fillers.values())
        for filler in fillers:  # a failure of one does not affect the others
            self._thread.attempt(partial(self._fill, filler), f"space {filler.space.id}")

    def _fill(self, filler: LabelVectorWriter) -> None:
        filler.run(lambda: self._thread.is_stopping or filler.space.id not in self._fillers)
