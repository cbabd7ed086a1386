"""The script and the timetable are functions of the seed, and hold what the suite promises."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.chaos.contents import KILLER, build, fate
from tests.chaos.faults import timetable
from tests.chaos.proxy import Mode
from tests.chaos.script import make_script
from tests.unit.images.corpus import LIMITS
from worker.errors import ImageRejectedError
from worker.images import read_image


def test_the_same_seed_gives_the_same_run() -> None:
    """Steps, files and faults; another seed gives others."""
    one, same, other = (make_script(seed=seed, objects=200, seconds=20) for seed in (7, 7, 8))
    assert one == same
    assert one.steps != other.steps
    assert timetable(seed=7, seconds=24, workers=2) == timetable(seed=7, seconds=24, workers=2)
    assert build("picture", 7, 1) == build("picture", 7, 1) != build("picture", 7, 2)


def test_a_tenth_of_the_events_is_lost_and_a_tenth_comes_twice() -> None:
    """Over ten thousand objects."""
    steps = make_script(seed=1, objects=10_000, seconds=100).steps
    copies = [len(step.delays) for step in steps]
    assert 0.10 == pytest.approx(copies.count(0) / len(steps), abs=0.01)
    assert 0.10 == pytest.approx(copies.count(2) / len(steps), abs=0.01)


def test_objects_are_written_overwritten_and_deleted_in_order() -> None:
    """Every key begins with a file, and the steps follow their times."""
    script = make_script(seed=1, objects=500, seconds=24)
    lives = defaultdict(list)
    for step in script.steps:
        lives[step.key].append(step)
    assert 500 == len(lives)
    assert list(script.steps) == sorted(script.steps, key=lambda step: step.at)
    assert all(life[0].content is not None for life in lives.values())
    assert {True, False} == {life[-1].content is None for life in lives.values() if len(life) > 1}


def test_one_killer_stays_and_one_is_replaced_without_an_event() -> None:
    """What is called a killer must be found out, and what is one no more must be found, too."""
    script = make_script(seed=1, objects=500, seconds=24)
    killers = [step.key for step in script.steps if step.content == KILLER]
    last = {script.final[key].content: script.final[key].delays for key in killers}
    assert {KILLER, "picture"} == set(last)
    assert () == last["picture"]


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_happens_in_the_short_form(seed: int) -> None:
    """Each mode of the proxy, both servers, every process, and a worker every few seconds."""
    faults = timetable(seed=seed, seconds=24, workers=2)
    kinds = {fault.what for fault in faults}
    assert {*map(str, Mode), "database", "broker", "freeze", "scheduler", "api", "worker"} - {"pass"} == kinds
    assert 6 <= sum(fault.what == "worker" for fault in faults)


def test_no_file_is_planned_to_end_as_it_cannot() -> None:
    """Pictures are read, whatever the seed; the corpus's own tests hold its samples to their reasons."""
    for number in range(20):
        assert (64, 48) == read_image(build("picture", 3, number), limits=LIMITS, min_side=16).pixels.size
    with pytest.raises(ImageRejectedError) as rejected:
        read_image(build("truncated jpeg", 3, 1), limits=LIMITS, min_side=16)
    assert fate("truncated jpeg").reason == rejected.value.reason
