"""The model host: a worker serves the active space, and fills other spaces when idle."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker import catalog, logs
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import EnrichError, FatalDeviceError
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.spaces.fill_batch import BatchFiller

_log = logs.get("pipeline")

#: Seconds until loading a model is retried after a failure.
_RETRY_LOADING = 60.0


class ModelHost:
    """Checks the spaces every few seconds, on its own thread.

    When another space has been activated, its model is loaded, if it is not yet, and the worker is switched to it;
    batches in hand end in the space they began in, and the new one is owed their images. Images that are owed to other
    spaces are embedded here as well, by at most ``most`` further models in memory, while no live upload waits.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        serving: BatchFiller,
        load: Callable[[Space], BatchFiller],
        switch: Callable[[BatchFiller], None],
        unload: Callable[[BatchFiller], None],
        broken: Callable[[FatalDeviceError], None],
        note: Callable[[str | None], None] = lambda _: None,
        most: int,
        interval: float = 2.0,
    ) -> None:
        """Start no thread yet.

        Args:
            engine: the database.
            serving: works off the queue of the space that the worker serves at its start.
            load: gives a space's model; raises ``EnrichError`` where that is not to be had.
            switch: has the worker write into a filler's space.
            unload: frees a filler's model.
            broken: called when the device is.
            note: told after each look which models cannot be had, and why; None when all can.
            most: models beside the one that serves.
            interval: seconds between looks.
        """
        self._engine, self._load, self._switch, self._unload, self._broken = engine, load, switch, unload, broken
        self._note, self._most = note, most
        self._serving = serving
        self._others: dict[int, BatchFiller] = {}
        self._refused: dict[int, tuple[float, str]] = {}  # space → when to try again, and why not now
        self._thread = PeriodicThread("model-host", self._step, interval=interval)

    def start(self) -> None:
        """Check until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current batch, if there is one, and free loaded models."""
        self._thread.stop()
        for filler in (self._serving, *self._others.values()):
            self._unload(filler)

    def look(self) -> bool:
        """Check once.

        Returns:
            Whether there may be more to do at once.
        """
        with transaction(self._engine) as connection:
            spaces = {each.id: each for each in catalog.spaces.all_spaces(connection)}
            owed = catalog.embedding_queue.spaces_with_work(connection)
        self._follow(next((each for each in spaces.values() if each.state == "active"), None))
        self._forget({number for number, each in spaces.items() if each.state != "retired"})
        fillers = [filler for number in owed if number in spaces and (filler := self._filler(spaces[number]))]
        self._note("; ".join(why for _, why in self._refused.values()) or None)
        return sum(filler.run_once() is not None for filler in fillers) > 0

    def _step(self) -> float | None:
        try:
            return 0.0 if self.look() else None
        except FatalDeviceError as error:
            self._broken(error)
            self._thread.cancel()
            return None

    def _follow(self, active: Space | None) -> None:
        """Switch to the active space, if that is another one now."""
        before = self._serving
        if active is None or active.id == before.model.space.id:
            return
        after = self._others.pop(active.id, None) or self._loaded(active)
        if after is None:
            return
        self._switch(after)
        self._serving = after
        self._others[before.model.space.id] = before  # freed when its space is retired, or now, if there is no room
        while len(self._others) > self._most:
            self._unload(self._others.pop(next(iter(self._others))))
        _log.info(f"now serving space {active.id} ({active.model})", action="switch", space=active.id)

    def _filler(self, space: Space) -> BatchFiller | None:
        if space.id == self._serving.model.space.id:
            return self._serving
        if space.id not in self._others and len(self._others) < self._most:
            filler = self._loaded(space)
            if filler is not None:
                self._others[space.id] = filler
        return self._others.get(space.id)

    def _loaded(self, space: Space) -> BatchFiller | None:
        if space.id in self._refused and time.monotonic() < self._refused[space.id][0]:
            return None
        try:
            loaded = self._load(space)
        except EnrichError as error:
            why = f"images that space {space.id} is owed wait for another worker, for its model cannot be used: {error}"
            self._refused[space.id] = (time.monotonic() + _RETRY_LOADING, why)
            _log.error(why, action="attend", space=space.id)
            return None
        self._refused.pop(space.id, None)
        return loaded

    def _forget(self, wanted: set[int]) -> None:
        for number in self._refused.keys() - wanted:
            del self._refused[number]
        for number in [number for number in self._others if number not in wanted]:
            self._unload(self._others.pop(number))
