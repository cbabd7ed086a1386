"""What the ledger promises, as a few lines of Python without a database: the machine test compares the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.types import Lane


@dataclass(kw_only=True, slots=True)
class Row:
    """One object. Times are reduced to what matters: has it come or not."""

    lane: int
    wanted: int = 1
    done: int = 0
    claimed: int | None = None
    token: int | None = None
    worker: str | None = None
    attempts: int = 0
    deaths: int = 0
    exposed: int | None = None  # the token under which its bytes were at work
    exposed_deaths: int = 0
    visible: bool = True  # the retry is due, or the lease has ended
    outcome: str | None = None
    quarantined: bool = False
    given_up: bool = False  # by a person, while it was in quarantine
    finished: list[int] = field(default_factory=list)  # every value that ``done`` was set to

    @property
    def pending(self) -> bool:
        return self.done < self.wanted

    @property
    def suspect(self) -> bool:
        """Its holder is gone, with the token still on it."""
        return self.pending and self.token is not None and self.visible

    @property
    def fresh(self) -> bool:
        return self.pending and self.token is None and self.visible


class Model:
    """All objects, by key."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def hint(self, keys: Iterable[str], lane: Lane) -> None:
        for key in keys:
            row = self.rows.get(key)
            if row is None:
                self.rows[key] = Row(lane=int(lane))
                continue
            if row.pending:
                row.lane = min(row.lane, int(lane))
            else:
                row.lane, row.visible, row.attempts, row.deaths = int(lane), True, 0, 0
            row.wanted += 1

    def check_claim(
        self, taken: Mapping[str, bool], *, size: int, poison_images: bool, each: int | None = None
    ) -> None:
        """Whether these were the ones to take: a suspect alone, or else as many as there are, lower lanes first."""
        gone = [key for key, row in self.rows.items() if row.suspect]
        if poison_images and gone:
            assert 1 == len(taken), "a suspect is worked on alone"
            assert set(taken) <= set(gone), "suspects come first"
            assert all(taken.values()), "and are called suspects"
            return
        fresh = {key for key, row in self.rows.items() if row.fresh}
        assert set(taken) <= fresh, "claimed what is done, in hand or not due"
        assert not any(taken.values())
        waiting = Counter(self.rows[key].lane for key in fresh)
        if each is not None:
            self._check_try(Counter(self.rows[key].lane for key in taken), waiting, each=each, size=size)
            return
        lanes = [lane for lane in sorted(waiting) for _ in range(waiting[lane])][:size]
        assert lanes == sorted(self.rows[key].lane for key in taken), "not as many as there are, lower lanes first"

    def _check_try(self, taken: Counter[int], waiting: Counter[int], *, each: int, size: int) -> None:
        """Of each lane the oldest and the newest ones, which may be the same."""
        assert taken.total() <= size
        for lane, count in waiting.items():
            assert taken[lane] <= min(count, 2 * each), "more than some of either end of a lane"
            assert taken[lane] >= min(count, each) or taken.total() == size, "a lane was passed over"

    def claim(self, keys: Iterable[str], token: int, worker: str) -> None:
        for key in keys:
            row = self.rows[key]
            if row.claimed is not None and row.claimed < row.wanted:  # hinted since: they may be other bytes
                row.attempts, row.deaths, row.exposed_deaths = row.attempts - row.deaths, 0, 0
            died = row.token is not None and row.worker is not None
            row.deaths += died
            row.exposed_deaths += died and row.exposed == row.token
            row.claimed, row.token, row.worker, row.visible = row.wanted, token, worker, False
            row.attempts += 1

    def held(self, token: int, keys: Iterable[str] | None = None) -> set[str]:
        """What a token still holds, whether or not its lease has ended."""
        among = self.rows if keys is None else keys
        return {key for key in among if key in self.rows and self.rows[key].token == token}

    def complete(self, token: int, outcomes: Mapping[str, str]) -> None:
        for key in self.held(token, outcomes):
            row = self.rows[key]
            assert row.claimed is not None
            assert not row.finished or row.finished[-1] < row.claimed, "the same work was done twice"
            row.finished.append(row.claimed)
            if outcomes[key] == "gone" and row.outcome is None and row.claimed == row.wanted:
                del self.rows[key]  # it never was
                continue
            row.done, row.claimed, row.token = row.claimed, None, None
            row.attempts, row.deaths, row.exposed_deaths, row.visible = 0, 0, 0, True
            # Refused again for the same reason, and nothing says that its bytes are others.
            row.given_up = row.given_up and outcomes[key] == "quarantined"
            row.outcome = "enriched" if outcomes[key] == "unchanged" else outcomes[key]
            row.outcome = "excluded" if row.given_up else row.outcome
            row.quarantined = outcomes[key] == "quarantined" and not row.given_up

    def retry(self, token: int, keys: Collection[str], *, due: bool, counted: bool) -> None:
        for key in self.held(token, keys):
            row = self.rows[key]
            row.claimed, row.token, row.visible = None, None, due
            row.lane = max(row.lane, int(Lane.RETRY))
            row.attempts -= not counted

    def release(self, token: int) -> None:
        for key in self.held(token):
            row = self.rows[key]
            row.claimed, row.token, row.visible = None, None, True
            row.attempts = max(row.attempts - 1, 0)

    def abandon(self, token: int) -> None:
        for key in self.held(token):
            self.rows[key].visible, self.rows[key].worker = True, None

    def expose(self, token: int, key: str) -> bool:
        row = self.rows.get(key)
        if row is None:
            return False
        held = row.token == token and not row.visible
        row.exposed = token if held else row.exposed
        return held

    def renewable(self, token: int) -> bool:
        return any(not self.rows[key].visible for key in self.held(token))

    def leases_end(self, worker: str) -> None:
        for row in self.rows.values():
            row.visible |= row.token is not None and row.worker == worker

    def time_passes(self) -> None:
        for row in self.rows.values():
            row.visible |= row.pending and row.token is None

    def retry_quarantined(self, key: str | None) -> int:
        return len([self._again(row) for row in self._settled_in_quarantine(key)])

    def drop_quarantined(self, key: str | None) -> int:
        return len([self._drop(row) for row in self._settled_in_quarantine(key)])

    def _settled_in_quarantine(self, key: str | None) -> list[Row]:
        return [r for k, r in self.rows.items() if r.quarantined and not r.pending and key in (None, k)]

    @staticmethod
    def _again(row: Row) -> None:
        row.wanted += 1
        row.attempts, row.deaths, row.lane, row.visible = 0, 0, int(Lane.RETRY), True

    @staticmethod
    def _drop(row: Row) -> None:
        row.outcome, row.quarantined, row.given_up = "excluded", False, True

    def picture(self) -> dict[str, tuple[Any, ...]]:
        """What the table must look like."""
        return {
            key: (
                r.wanted, r.done, r.claimed, r.token, r.lane, r.attempts, r.deaths, r.exposed_deaths,
                r.outcome, r.quarantined, r.visible if r.pending else None,
            )
            for key, r in self.rows.items()
        }  # fmt: skip
