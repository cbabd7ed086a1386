"""The model host: a worker serves the active space, and fills other spaces when idle."""

from __future__ import annotations

from collections.abc import Callable

from worker import catalog, logs
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import EnrichError, FatalDeviceError
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.spaces.fill_batch import BatchFiller
from worker.pipeline.spaces.loaded_models import LoadedModels

_log = logs.get("pipeline")


class ModelHost:
    """Checks the spaces every few seconds, on its own thread.

    When another space has been activated, its model is loaded, if it is not yet, and the worker is switched to it;
    batches in progress end in the space they began in, and their images are queued for the new one. Vectors missing in
    other spaces are computed here as well, by at most ``most`` further models in memory, while no live upload waits.
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
            load: gives a space's model; raises ``EnrichError`` if that is not available.
            switch: has the worker write into a filler's space.
            unload: frees a filler's model.
            broken: called when the device is.
            note: told after each check which models are not available, and why; None when all are.
            most: models beside the one that serves.
            interval: seconds between checks.
        """
        self._engine, self._load, self._switch, self._broken = engine, load, switch, broken
        self._note, self._most = note, most
        self._serving = serving
        self._models = LoadedModels(unload=unload)
        self._models.get(serving.model.space.id, lambda: serving)
        self._thread = PeriodicThread(
            "model-host",
            self._step,
            action="attend",
            failure="spaces could not be checked; retrying",
            interval=interval,
        )

    def start(self) -> None:
        """Check until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current batch, if there is one, and free loaded models."""
        self._thread.stop()
        self._models.keep(())

    def look(self) -> bool:
        """Check once.

        Returns:
            Whether there may be more to do at once.
        """
        with transaction(self._engine) as connection:
            spaces = {each.id: each for each in catalog.spaces.all_spaces(connection)}
            waiting = catalog.embedding_queue.spaces_with_work(connection)
        self._follow(next((each for each in spaces.values() if each.state == "active"), None))
        in_use = {number for number, each in spaces.items() if each.state != "retired"}
        self._models.keep(in_use | {self._serving.model.space.id})
        fillers = [filler for number in waiting if number in spaces and (filler := self._filler(spaces[number]))]
        self._note("; ".join(_why(number, error) for number, error in self._models.refusals.items()) or None)
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
        before = self._serving.model.space.id
        if active is None or active.id == before or (after := self._loaded(active)) is None:
            return
        self._switch(after)
        self._serving = after
        # The model before is freed when its space is retired, or now, if there is no room even without the others.
        others = [key for key in self._models.keys if key not in (active.id, before)] + [before]
        surplus = others[: max(len(others) - self._most, 0)]
        self._models.keep({*self._models.keys, *self._models.refusals}.difference(surplus))
        _log.info(f"now serving space {active.id} ({active.model})", action="switch", space=active.id)

    def _filler(self, space: Space) -> BatchFiller | None:
        loaded = self._models.keys
        return self._loaded(space) if space.id in loaded or len(loaded) <= self._most else None

    def _loaded(self, space: Space) -> BatchFiller | None:
        known = self._models.refusals.get(space.id)
        try:
            return self._models.get(space.id, lambda: self._load(space))
        except EnrichError as error:
            if error is not known:
                _log.error(_why(space.id, error), action="attend", space=space.id)
            return None


def _why(space: int | None, error: EnrichError) -> str:
    return f"vectors missing in space {space} wait for another worker: its model cannot be used here: {error}"
