"""Has maps drawn: those that were asked for soon, and at night what has become necessary. Runs in the scheduler.

Drawing takes a core for a minute or more, so it is done in a process of its own, one at a time, behind all others that
want the core. It can neither hold up the scheduler nor take its memory.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

from worker import catalog, logs
from worker.db import Engine, transaction
from worker.pipeline.maps import requests
from worker.pipeline.maps.requests import MapRequest
from worker.pipeline.maps.update import POOR_SHARE
from worker.pipeline.resilience.periodic import PeriodicThread

_log = logs.get("maps")

#: What is done without being asked: nothing, or a map at night.
Habit: TypeAlias = Literal["nightly", "off"]

#: Seconds between two looks.
INTERVAL: Final = 2.0
#: Hours of the night, by this machine's clock.
NIGHT: Final = range(1, 5)
#: Seconds since the last map or update of a space, so that one night has one.
_ONCE: Final = 16 * 3600.0
#: Fewer images are not drawn without being asked: a grid shows them better.
_LEAST: Final = 100
#: Once there are so many times more or fewer images than when it was drawn, a map is drawn anew.
_GROWN: Final = 2.0
#: Seconds for which a drawing that is told to stop may go on.
_GRACE: Final = 5.0


class MapSchedule:
    """Looks every few seconds whether there is something to draw."""

    def __init__(
        self,
        engine: Engine,
        command: Sequence[str],
        *,
        habit: Habit,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """Start nothing yet.

        Args:
            engine: the database.
            command: draws and updates what was asked for, and ends.
            habit: what is done without being asked.
            now: this machine's time.
        """
        self._engine, self._command, self._habit, self._now = engine, command, habit, now
        self._asked: datetime | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = PeriodicThread(
            "maps", self.look, action="map", failure="maps cannot be drawn now; retrying", interval=INTERVAL
        )

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Look no more; a drawing under way is broken off. The next scheduler begins it anew."""
        self._thread.stop(timeout)
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._child.kill()

    def look(self) -> None:
        """Begin drawing, if there is something to draw and nothing is being drawn."""
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                return
            self._child = None
            if status:
                _log.warning("a map was not drawn: `enrich map list` says why", action="map", status=status)
        self._ask_at_night()
        with transaction(self._engine) as connection:
            due = catalog.maps.is_due(connection)
        if due:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def _ask_at_night(self) -> None:
        """Once an hour: counting takes a while, and what fails is not tried again and again."""
        hour = self._now().replace(minute=0, second=0, microsecond=0)
        if self._habit == "nightly" and hour.hour in NIGHT and hour != self._asked:
            ask_for_necessary(self._engine)
            self._asked = hour


def ask_for_necessary(engine: Engine) -> None:
    """Ask for a map if there is none, or it has worn out; else, for new images to be placed on it.

    Does nothing if there was a map or an update within the last 16 hours.
    """
    with transaction(engine) as connection:
        space = catalog.spaces.active(connection)
        since = None if space is None else catalog.maps.seconds_since_last(connection, space.id)
        if space is None or (since is not None and since < _ONCE):
            return
        newest = catalog.maps.newest(connection, space.id)
        vectors, _ = catalog.bulk_read.count_vectors(connection, space.id)
    if newest is None or newest.poor_share > POOR_SHARE or not 1 / _GROWN <= vectors / max(newest.images, 1) <= _GROWN:
        if vectors >= _LEAST:
            requests.request(engine, MapRequest())
    elif vectors != newest.images:  # also if fewer: of those that are left, some may be new
        requests.request_update(engine)
