"""Any interleaving of hints, claims, deaths, failures and late completions loses nothing and repeats nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from tests.ledger import expire_leases, hints, make_due
from worker import inbox
from worker.db import Engine, transaction
from worker.inbox import Claim, Completion, Retry
from worker.types import Outcome

KEYS = ("a", "b", "c")


def machine_on(engine: Engine) -> type[RuleBasedStateMachine]:  # noqa: C901  # one class, closed over the engine
    class Ledger(RuleBasedStateMachine):
        """A model of three numbers per object: hints sent, hints seen by the newest completion, who holds it."""

        claims = Bundle("claims")

        def __init__(self) -> None:
            super().__init__()
            with transaction(engine) as connection:
                connection.execute(text("TRUNCATE inbox CASCADE"))
            self.hinted = dict.fromkeys(KEYS, 0)
            self.covered = dict.fromkeys(KEYS, 0)
            self.holder: dict[str, int | None] = dict.fromkeys(KEYS)
            self.seen: dict[tuple[int, str], int] = {}

        @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
        def hint(self, keys):
            with transaction(engine) as connection:
                inbox.hint(connection, hints(*keys))
            for key in keys:
                self.hinted[key] += 1

        @rule(target=claims, size=st.integers(1, 3))
        def claim(self, size):
            with transaction(engine) as connection:
                taken = inbox.claim(connection, worker="w", size=size, lease=60)
            if taken is None:
                return None
            for each in taken.objects:
                assert self.hinted[each.ref.key] > self.covered[each.ref.key], "claimed what was done already"
                self.holder[each.ref.key] = taken.token
                self.seen[taken.token, each.ref.key] = self.hinted[each.ref.key]
            return taken

        @rule(taken=consumes(claims))
        def complete(self, taken: Claim | None):
            self._end(taken, self._complete)

        @rule(taken=consumes(claims))
        def fail(self, taken: Claim | None):
            self._end(taken, self._fail)

        @rule(taken=claims)
        def renew(self, taken: Claim | None):
            if taken is not None:
                with transaction(engine) as connection:
                    inbox.renew(connection, [taken.token], lease=60)

        @rule()
        def workers_die(self):
            expire_leases(engine)

        @rule()
        def time_passes(self):
            make_due(engine)

        def _end(self, taken: Claim | None, how: Any) -> None:
            if taken is None:
                return
            with transaction(engine) as connection:
                held = inbox.lock(connection, taken.token, [each.id for each in taken.objects])
                how(connection, taken, held)
            ours = {each.ref.key for each in taken.objects if self.holder[each.ref.key] == taken.token}
            assert ours == {each.ref.key for each in taken.objects if each.id in held}
            for key in ours:
                self.holder[key] = None

        def _complete(self, connection, taken, held):
            inbox.complete(connection, taken.token, [Completion(id=i, outcome=Outcome.ENRICHED) for i in held])
            for each in taken.objects:
                if each.id in held:
                    self.covered[each.ref.key] = self.seen[taken.token, each.ref.key]

        def _fail(self, connection, taken, held):
            inbox.retry(connection, taken.token, [Retry(id=i, delay=60, error="boom") for i in held])

        @invariant()
        def pending_is_exactly_what_is_not_covered(self):
            with transaction(engine) as connection:
                rows = connection.execute(text("SELECT key, done < wanted AS pending FROM inbox")).all()
            expected = {key: self.hinted[key] > self.covered[key] for key in KEYS if self.hinted[key]}
            assert expected == {row.key: row.pending for row in rows}

        def teardown(self):
            """After the last hint, one honest worker always finishes everything."""
            make_due(engine)
            expire_leases(engine)
            while True:
                with transaction(engine) as connection:
                    taken = inbox.claim(connection, worker="honest", size=2, lease=60)
                    if taken is None:
                        break
                    done = [Completion(id=each.id, outcome=Outcome.ENRICHED) for each in taken.objects]
                    inbox.complete(connection, taken.token, done)
            with transaction(engine) as connection:
                assert inbox.totals(connection).pending == 0

    return Ledger


@pytest.mark.timeout(120)
def test_the_ledger_is_a_ledger(engine):
    """The real tables follow the model, step by step."""
    run_state_machine_as_test(
        machine_on(engine),
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
