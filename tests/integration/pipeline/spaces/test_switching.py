"""Changing which space answers, under load: searches never fail, never mix, and nothing is lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.active_taxonomies import queues_of
from tests.examples import examples_of
from tests.examples import search_of as finder_of
from tests.fakes import ColourEncoder
from tests.integration.api.live import serve
from tests.integration.pipeline.spaces.world import TurnedEncoder, World, load, meanwhile
from tests.ledger import pending
from tests.memory_store import MemoryStore
from tests.preview_services import originals_of, previews_of
from worker.api import Services, Tokens
from worker.errors import ConfigurationError, ModelUnavailableError, SpaceMismatchError
from worker.pipeline.intake.ingest import Ingest
from worker.pipeline.reading.classify import Classifier
from worker.pipeline.reading.explain import Explainer
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.reading.model_input import ModelInputs
from worker.pipeline.reading.saved_queries import SavedQueries
from worker.pipeline.reading.taxonomy_trials import TaxonomyTrials
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.spaces import lifecycle
from worker.pipeline.spaces.model_host import ModelHost
from worker.pipeline.spaces.model_loading import ModelSetting, choose_space, load_for
from worker.pipeline.taxonomies.requests import TaxonomyChanges

COLOURS = {"red.jpg": "red", "green.jpg": "green", "blue.jpg": "blue"}
OWN = ModelSetting(model="tiny", revision=None)


def search_of(world: World, **options) -> TextSearch:
    return TextSearch(world.engine, lambda: load("tiny"), lambda space: load_for(space, OWN, load), **options)


class Running:
    """A worker as ``enrich worker`` puts it together: one thread claims, the attendant looks after the spaces."""

    def __init__(self, world: World, *, most: int = 1, note=lambda _: None) -> None:
        self.world = world
        self.unloaded: list[int] = []
        self.model_host = ModelHost(
            world.engine,
            serving=world.filler(world.serving.enricher.space),
            load=lambda space: world.filler(space, encoder=load(str(space.source))),
            switch=world.serving.switch,
            unload=self._unload,
            broken=lambda error: pytest.fail(str(error)),
            note=note,
            most=most,
            interval=0.05,
        )

    def _unload(self, filler) -> None:
        self.unloaded.append(filler.model.space.id)
        filler.model.batcher.close()

    def settle(self) -> None:
        while self.model_host.look():
            pass


@pytest.fixture
def two(world: World):
    """Three colours, in both spaces; the old one is active."""
    world.enriched(**COLOURS)
    new = world.space("turned")
    world.fill(new)
    return world.serving.enricher.space, new


def test_searches_and_uploads_go_on_while_spaces_are_switched(world: World, two, tmp_path: Path):
    """Concurrent HTTP searches and uploads during twenty switches: every answer is 200 and right, no image is lost."""
    old, new = two
    search = search_of(world, spare=1)
    labels = LabelSearch(engine=world.engine)
    examples, pictures = examples_of(world.engine, search), previews_of(MemoryStore(), tmp_path)
    services = Services(
        engine=world.engine,
        ingest=Ingest(engine=world.engine, notify=lambda: None),
        search=search,
        examples=examples,
        classifier=Classifier(world.engine, examples),
        find=finder_of(world.engine, search),
        queries_saved=SavedQueries(engine=world.engine),
        explain=Explainer(world.engine, search.model),
        taxonomies=TaxonomyChanges(world.engine, search.model),
        trials=TaxonomyTrials(world.engine, examples),
        labels=labels,
        previews=pictures,
        model_inputs=ModelInputs(models=examples, pictures=pictures),
        originals=originals_of(MemoryStore()),
        queues=queues_of(world.engine, ColourEncoder(), search, labels),
        model="tiny",
        tokens=Tokens(),
        notify=lambda: None,
        max_event_bytes=100_000,
    )
    running, numbers = Running(world), iter(range(10_000))
    answers: list[str] = []

    def ask() -> None:
        for colour in ("red", "green", "blue"):
            answer = api.post("/v1/search", {"text": colour, "limit": 1})
            assert 200 == answer.status, answer.body
            [hit] = answer.json["hits"]
            assert (colour, True) == (hit["tags"]["colour"], hit["similarity"] > 0.9)
            answers.append(colour)

    def upload() -> None:
        number = next(numbers)
        world.upload(f"{number}.jpg", ("red", "green", "blue")[number % 3])
        time.sleep(0.02)

    def work() -> None:
        if world.serving.run_once() is None:
            time.sleep(0.01)

    with (
        serve(services) as api,
        meanwhile(ask, threads=3) as failed_searches,
        meanwhile(upload) as failed_uploads,
        meanwhile(work) as failed_batches,
        meanwhile(running.model_host.look) as failed_looks,
    ):
        for round_ in range(20):
            lifecycle.activate(world.engine, (new, old)[round_ % 2].id, force=True)
            time.sleep(0.05)
    assert ([], [], [], []) == (failed_searches, failed_uploads, failed_batches, failed_looks)
    world.work()
    running.settle()
    assert 0 == pending(world.engine)
    everything = set(world.sql("SELECT key FROM images"))
    assert (True, True) == (len(everything) > 20, len(answers) > 50)
    assert everything == world.keys_in(old) == world.keys_in(new)


def test_a_worker_follows_the_active_space(world: World, two):
    """Without a restart; what it wrote into the old space meanwhile gets its vector in the new one."""
    old, new = two
    running = Running(world)
    lifecycle.activate(world.engine, new.id, force=False)
    world.enriched(unaware="red")
    assert set() == {"unaware"} & world.keys_in(new)
    running.settle()
    world.enriched(aware="green")
    assert new.id == world.serving.enricher.space.id
    assert {"unaware", "aware"} <= world.keys_in(new)
    running.settle()
    assert {"unaware", "aware"} <= world.keys_in(old), "going back needs no filling"


def test_switching_back_finds_the_old_space_up_to_date(world: World, two):
    """Uploads since the switch are in both; nothing has to be forced."""
    old, new = two
    running = Running(world)
    lifecycle.activate(world.engine, new.id, force=False)
    running.settle()
    world.enriched(late="blue")
    running.settle()
    assert new.id == lifecycle.activate(world.engine, old.id, force=False).before
    assert ["blue"] == world.sql("SELECT label FROM image_tags WHERE key = 'late'")


def test_uploads_of_this_moment_do_not_keep_a_space_from_being_activated(world: World, two):
    """On a busy system there are always some; they are waited for."""
    _, new = two
    world.enriched(late="red")
    soon = threading.Timer(0.5, world.filler(new).run_once)
    soon.start()
    lifecycle.activate(world.engine, new.id, force=False)
    soon.join()
    assert "late" in world.keys_in(new)


def test_a_worker_without_room_for_another_model_leaves_filling_to_others(world: World, two):
    """ENRICH_EXTRA_MODELS=0: one model in memory, and the queue keeps what it is owed."""
    _, new = two
    world.enriched(late="red")
    Running(world, most=0).settle()
    assert 1 == world.open_in(new)


def test_the_model_of_a_retired_space_is_freed(world: World, two):
    """Memory is used while it is of use."""
    old, new = two
    running = Running(world)
    lifecycle.activate(world.engine, new.id, force=False)
    running.settle()
    lifecycle.retire(world.engine, old.id)
    running.settle()
    assert [old.id] == running.unloaded


def test_a_model_is_freed_when_its_last_batch_has_ended(world: World, two, monkeypatch):
    """A batch that is between fetching and encoding at the switch ends where it began, with the model it began with."""
    old, new = two
    running, fetching, go_on = Running(world, most=0), threading.Event(), threading.Event()
    world.upload("late", "red")
    get = world.store.get

    def slowly(*reference, **how):
        fetching.set()
        go_on.wait(10)
        return get(*reference, **how)

    monkeypatch.setattr(world.store, "get", slowly)
    batch = threading.Thread(target=world.serving.run_once)
    batch.start()
    assert fetching.wait(10)
    lifecycle.activate(world.engine, new.id, force=True)
    look = threading.Thread(target=running.model_host.look)
    look.start()
    time.sleep(0.3)
    assert (new.id, []) == (world.serving.enricher.space.id, running.unloaded)
    go_on.set()
    batch.join()
    look.join()
    assert ([old.id], True) == (running.unloaded, "late" in world.keys_in(old))


def test_a_model_that_cannot_be_loaded_does_not_stop_the_worker(world: World, two):
    """It goes on with what it has, and the images wait in the queue for somebody who has the model."""
    absent = world.space("turned-absent")
    world.sql("UPDATE spaces SET source = 'nowhere' WHERE id = :id", id=absent.id)
    world.enriched(late="red")
    running = Running(world, most=2)
    running.settle()
    assert (0, True) == (world.open_in(two[1]), world.open_in(absent) > 0)


def test_the_api_has_the_next_model_ready_before_the_switch(world: World, two):
    """The first search after it waits for no model."""
    loaded: list[str] = []

    def noted(space):
        loaded.append(space.model)
        return load_for(space, OWN, load)

    search = TextSearch(world.engine, lambda: load("tiny"), noted, spare=1)
    search.keep_ready()
    assert [] == loaded, "nobody has searched yet"
    search("red", limit=1)
    search.keep_ready()
    assert ["tiny", "turned"] == loaded
    lifecycle.activate(world.engine, two[1].id, force=False)
    assert "red.jpg" == search("red", limit=1).hits[0].key
    lifecycle.retire(world.engine, two[0].id)
    search.keep_ready()
    assert (["tiny", "turned"], [two[1].id]) == (loaded, search._models.keys)


def test_the_catalog_decides_which_model_a_worker_runs(world: World, two):
    """After a switch, a restart with the old setting serves the new space."""
    _, new = two
    lifecycle.activate(world.engine, new.id, force=False)
    space, encoder = choose_space(world.engine, OWN, load)
    assert (new.id, "turned") == (space.id, encoder.space.model)
    space, encoder = choose_space(world.engine, ModelSetting(model="turned", revision=None), load)
    assert (new.id, "turned") == (space.id, encoder.space.model)


def test_the_same_model_elsewhere_on_another_machine_is_the_same(world: World):
    """A path is where this machine has it, not what it is."""
    world.sql("UPDATE spaces SET source = '/models/on-another-machine'")
    space, encoder = choose_space(world.engine, OWN, load)
    assert (world.serving.enricher.space.id, "tiny") == (space.id, encoder.space.model)


def test_a_changed_model_at_the_same_place_is_refused_with_what_differs(world: World):
    """It does not silently begin a space of its own."""

    class Changed(TurnedEncoder):
        pass

    with pytest.raises(SpaceMismatchError, match=r"space 1 was filled with tiny, .* not the same: another model"):
        choose_space(world.engine, OWN, lambda *_: Changed("other"))
    assert [1] == world.sql("SELECT id FROM spaces")


def test_a_model_that_is_not_there_is_refused_when_its_space_is_made(world: World):
    """With the loader's words, and nothing is left behind."""
    with pytest.raises(ModelUnavailableError, match="no model 'nothing' here"):
        lifecycle.create(world.engine, ModelSetting(model="nothing", revision=None), load)
    assert [1] == world.sql("SELECT id FROM spaces")


def test_the_active_space_can_neither_be_retired_nor_dropped(world: World):
    """Something must answer."""
    for action in (lifecycle.retire, lifecycle.drop, lifecycle.size):
        with pytest.raises(ConfigurationError, match="is the active one"):
            action(world.engine, 1)


def test_a_model_whose_words_are_others_is_refused_without_loading_it_for_every_search(world: World):
    """Its file is read once a minute, not once a request; /readyz says why meanwhile."""
    loads: list[int] = []

    def other(space):
        loads.append(space.id)
        raise SpaceMismatchError("the vector of text 1 differs (cosine 0.1000)")

    search = TextSearch(world.engine, lambda: load("tiny"), other)
    for _ in range(3):
        with pytest.raises(SpaceMismatchError, match="text 1"):
            search("red", limit=1)
    assert ([1], ["the vector of text 1 differs (cosine 0.1000)"]) == (loads, search.refusals)


def test_a_worker_says_which_spaces_wait_for_another_one(world: World, two):
    """Where operators look; and no longer, when the model can be loaded again."""
    _, new = two
    said: list[str | None] = []
    running = Running(world, note=said.append)
    world.sql("UPDATE spaces SET source = 'nowhere' WHERE id = :id", id=new.id)
    world.enriched(late="red")
    running.settle()
    assert "vectors missing in space 2 wait for another worker" in str(said[-1])
    lifecycle.retire(world.engine, new.id)
    running.settle()
    assert said[-1] is None
