"""How the members of a crew share what one worker would have alone."""

from __future__ import annotations

import pytest

from worker import settings, worker_group
from worker.cli import local_system
from worker.errors import ConfigurationError


def shares(*, cores: int = 16, **given: object) -> list[worker_group.Share]:
    return worker_group.shares(settings.Settings(_env_file=None, **given), cores=cores)  # type: ignore[arg-type]


@pytest.mark.parametrize(("processes", "expected"), [(2, [8, 8]), (3, [6, 5, 5]), (16, [1] * 16), (20, [1] * 20)])
def test_there_are_as_many_decoders_as_cores(processes: int, expected: list[int]) -> None:
    """In all members together, and at least one in each."""
    assert expected == [each.decode_threads for each in shares(processes=processes)]


def test_what_is_asked_for_is_divided_too() -> None:
    """ENRICH_DECODE_THREADS and ENRICH_TORCH_THREADS are those of all members together."""
    found = shares(processes=2, decode_threads=24, torch_threads=4)
    assert [(12, 2)] * 2 == [(each.decode_threads, each.torch_threads) for each in found]


def test_members_have_ports_of_their_own() -> None:
    """One behind the other; none where none is asked for."""
    assert [8701, 8702, 8703] == [each.metrics_port for each in shares(processes=3, metrics_port=8701)]
    assert [0, 0] == [each.metrics_port for each in shares(processes=2)]


def test_ports_that_do_not_exist_are_refused_before_anything_starts() -> None:
    """In words that name what was set, where a member would complain of a port that nobody asked for."""
    assert [65_534, 65_535] == [each.metrics_port for each in shares(processes=2, metrics_port=65_534)]
    with pytest.raises(ConfigurationError, match="ENRICH_METRICS_PORT to at most 65534"):
        shares(processes=2, metrics_port=65_535)


def test_a_member_has_no_members() -> None:
    """It would be a crew of its own otherwise."""
    assert {"1"} == {each.environment()["ENRICH_PROCESSES"] for each in shares(processes=2)}


def test_a_crew_is_not_killed_before_it_has_killed_a_member_that_hangs() -> None:
    """Members have process groups of their own: one that hangs would outlive `enrich up`, and keep its memory."""
    given = settings.Settings(_env_file=None, processes=2, drain_seconds=3)
    assert given.drain_seconds + local_system._EXIT_SECONDS >= worker_group.longest_end(given) + 2
