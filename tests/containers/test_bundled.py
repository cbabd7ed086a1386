"""docker-compose.yml with its own servers, in the order in which a user meets it: build, up, upload, faults, down.

The images of others are stand-ins (see ``standins``): what is proved is our files and our image, not theirs. Our image
has the Python that runs these tests, under the name of a 3.12, and the torch that this machine's pip prefers.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.containers import attacks
from tests.containers.machine import PROJECT, Machine
from tests.containers.system import ONE_SHOT, SETTINGS, System, running, until
from tests.pictures import picture
from tests.unit.encoder.hub_server import COMMIT, Hub

_OURS = ("api", "worker", "scheduler")
#: What a killed worker had is worked on image by image: a few, so that it ends soon.
_MORE = {"ENRICH_LEASE_SECONDS": "10", "ENRICH_CLAIM_BATCH": "8"}
_EVENT_SECONDS = 20.0


@pytest.fixture(scope="module")
def system(host: Machine, hub: Hub, checkout: Path) -> Iterator[System]:
    """Built, up and healthy, with a bucket."""
    hub.requests.clear()  # those of systems before this one
    with running(host, checkout, SETTINGS, _MORE) as up:
        up.s3().create_bucket(Bucket="photos")
        yield up


# -- the image ---------------------------------------------------------------------------------------------------------
def test_the_cpu_image_is_small_and_has_no_cuda(system: System) -> None:
    """At most 1.5 GB; nothing of CUDA is in it, nor what only building and testing need."""
    size = int(system.machine.run("docker", "image", "inspect", "--format", "{{.Size}}", _image(system)))
    assert size <= 1_500_000_000
    names = "nvidia* libcudnn* libcublas* pip g++ torch/test"
    found = system.python(
        "worker",
        "import pathlib, sysconfig\nsite = pathlib.Path(sysconfig.get_path('purelib'))\n"
        f"print([str(file) for name in {names.split()!r} for file in site.glob(name)])",
    )
    assert "[]" == found


def _image(system: System) -> str:
    return str(system.inspect("worker")["Image"])


def test_only_the_one_shot_asked_the_hub(system: System, hub: Hub) -> None:
    """The model was fetched once, by the service that may; those that use it can only read it."""
    fetched = [request for request in hub.requests if "model.safetensors" in request and "GET" in request]
    assert 1 == len(fetched)
    for service in ("api", "worker"):
        [mount] = [each for each in system.inspect(service)["Mounts"] if each["Type"] == "volume"]
        assert ("/var/lib/enrich/huggingface", False) == (mount["Destination"], mount["RW"])


# -- who may do what ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("service", _OURS)
def test_our_processes_have_no_rights(system: System, service: str) -> None:
    """They run as uid 10001 without capabilities or a way to get any, and cannot write to their image."""
    status = dict(
        line.split(":\t") for line in system.python(service, "print(open('/proc/1/status').read())").split("\n")
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert {"0000000000000000"} == {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    assert "1" == status["NoNewPrivs"]
    written = system.python(
        service,
        "for path in ('/x', '/opt/venv/x', '/var/lib/enrich/x', '/etc/x', '/tmp/x'):\n"
        "    try: print(open(path, 'w').name)\n    except OSError: pass",
    )
    assert "/tmp/x" == written


@pytest.mark.parametrize("service", ["worker", "scheduler"])
def test_what_opens_files_of_strangers_has_no_way_out(system: System, service: str) -> None:
    """Neither an address beyond this machine nor a name there is reached, where another container reaches both."""
    assert "address name" == attacks.reaches_outside(system, "models")
    assert "" == system.python(service, attacks.outside())


def test_the_store_listens_to_its_keys_only(system: System) -> None:
    """From the worker, all ports tried: S3, and the one that administers keys, which makes none without the filer's."""
    assert [8333, 18333] == attacks.open_ports(system, "worker", "seaweedfs")
    attacks.make_an_admin(system, "worker", "INTRUDERSKEY", "intruderssecret")
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|AccessDenied"):
        attacks.s3_of("INTRUDERSKEY", "intruderssecret").list_buckets()


@pytest.mark.parametrize(
    ("host_name", "ports"), [("api", [8700]), ("postgres", [5432]), ("valkey", [6379]), ("scheduler", [8701])]
)
def test_nothing_listens_that_is_not_named(system: System, host_name: str, ports: list[int]) -> None:
    """From the worker, every port of the other containers tried."""
    assert attacks.open_ports(system, "worker", host_name) == ports


@pytest.mark.parametrize("service", ["api", "worker", "scheduler"])
def test_our_processes_are_not_the_owner_of_the_tables(system: System, service: str) -> None:
    """They are a role that is no superuser, and can neither drop a table nor run a program of the server."""
    asked = """
import os, psycopg2
connection = psycopg2.connect(os.environ["ENRICH_DATABASE_URL"])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
print(*cursor.fetchone())
for statement in ("DROP TABLE images", "CREATE TABLE mine (x int)", "COPY inbox TO PROGRAM 'id'"):
    try: cursor.execute(statement); print("done", statement)
    except psycopg2.errors.InsufficientPrivilege: pass
"""
    assert "enrich_worker False" == system.python(service, asked)


def test_the_worker_cannot_write_to_the_store(system: System) -> None:
    """Its key reads and lists."""
    with pytest.raises(ClientError, match="AccessDenied"):
        system.s3("ENRICH_S3").put_object(Bucket="photos", Key="planted.jpg", Body=b"x")


# -- events ------------------------------------------------------------------------------------------------------------
def test_uploads_become_searchable_by_their_events(system: System) -> None:
    """With the scheduler stopped nothing compares buckets with the ledger: only events can have brought them."""
    system.compose("stop", "scheduler")
    try:
        keys = {f"by event/{number}.jpg" for number in range(20)}
        for number, key in enumerate(sorted(keys)):
            system.upload(key, picture("red", (64, 40 + number)))
        system.until_searchable(keys, _EVENT_SECONDS)
        assert attacks.counter(system.metrics(), 'enrich_hints_total{source="seaweedfs"}') >= len(keys)
    finally:
        system.up()


def test_the_api_shows_pictures(system: System) -> None:
    """It reads originals with a key that cannot write, and keeps previews in memory: its image cannot be written to."""
    system.upload("shown.jpg", picture("red", (800, 400)))
    system.until_searchable({"shown.jpg"}, _EVENT_SECONDS)
    for _ in range(2):
        answer = system.get("/v1/previews/256/photos/shown.jpg")
        assert (200, "image/webp") == (answer.status, answer.headers["content-type"]), answer.data
        with Image.open(io.BytesIO(answer.data)) as preview:
            assert (256, 128) == preview.size
    kept = system.python("api", "import pathlib; print(len(list(pathlib.Path('/tmp/enrich').rglob('*.webp'))) > 0)")
    assert "True" == kept
    assert 200 == system.get("/v1/originals/photos/shown.jpg").status


def test_the_pages_are_served(system: System) -> None:
    """The image has their files; a token logs in, and the cookie reads."""
    page = system.get("/")
    assert (200, True) == (page.status, "default-src 'self'" in page.headers["content-security-policy"])
    [script] = re.findall(rb'src="(assets/[^"]+/main.js)"', page.data)
    assert 200 == system.get(f"/{script.decode()}").status
    logged_in = system.log_in()
    assert (200, True) == (logged_in.status, "admin" in logged_in.json()["scopes"])


def test_the_api_classifies_an_upload(system: System) -> None:
    """The image tower is loaded and passes its check there, too; a broken file costs only its own answer."""
    files = (picture("red", (64, 64)), b"\xff\xd8\xff and no picture")
    red, broken = (system.classify(file, ["red", "blue"])["images"][0] for file in files)
    assert {"red", "blue"} == {each["label"] for each in red["taxonomies"][0]["labels"]}
    assert broken["problem"]["reason"]


def test_a_deleted_object_leaves_the_search_by_its_event(system: System) -> None:
    """The webhook tells of deletions, too."""
    system.compose("stop", "scheduler")
    try:
        system.upload("deleted.jpg", picture("red", (70, 70)))
        system.until_searchable({"deleted.jpg"}, _EVENT_SECONDS)
        system.s3().delete_object(Bucket="photos", Key="deleted.jpg")
        until(lambda: "deleted.jpg" not in system.search(), _EVENT_SECONDS, system.logs)
    finally:
        system.up()


# -- faults ------------------------------------------------------------------------------------------------------------
def test_a_killed_worker_comes_back_and_its_leases_are_taken_over(system: System) -> None:
    """SIGKILL while images are claimed: the container starts again, every image ends enriched, once."""
    system.compose("stop", "worker")
    keys = {f"killed/{number}.jpg" for number in range(60)}
    for number, key in enumerate(sorted(keys)):
        system.upload(key, _large_picture(number))
    system.compose("up", "-d", "--no-deps", "worker")
    worker = system.first_process("worker")
    system.sql(_UNTIL_CLAIMED)
    system.kill_9(worker)
    assert _claimed(system) > 0
    until(lambda: system.inspect("worker")["RestartCount"] == 1, 60, system.logs)
    system.until_healthy()
    system.until_searchable(keys, 600)
    assert system.sql("SELECT count(*) FROM images WHERE key LIKE 'killed/%'") == str(len(keys))


_UNTIL_CLAIMED = """DO $$ BEGIN FOR turn IN 1..12000 LOOP
    EXIT WHEN EXISTS (SELECT FROM inbox WHERE done < wanted AND token IS NOT NULL); PERFORM pg_sleep(0.005);
END LOOP; END $$"""


def _claimed(system: System) -> int:
    return int(system.sql("SELECT count(*) FROM inbox WHERE done < wanted AND token IS NOT NULL"))


def _large_picture(number: int) -> bytes:
    """Noise that takes a while to decode; each of another colour."""
    noise = Image.effect_noise((2400, 1600), 60 + number).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def test_a_worker_that_starting_again_does_not_help_is_not_started_again(system: System) -> None:
    """Refused with status 78, it stays, unhealthy, and says why; put right and restarted, it works."""
    swap = """
        UPDATE golden_vectors a SET vector = b.vector FROM golden_vectors b WHERE a.space_id = b.space_id AND b.name =
        (SELECT max(name) FROM golden_vectors c WHERE c.space_id = a.space_id AND c.vector <> a.vector)"""
    system.sql("CREATE TABLE kept AS SELECT * FROM golden_vectors")
    system.sql(swap)
    try:
        system.compose("restart", "worker")
        until(lambda: "ended with status 78" in system.compose("logs", "worker"), 120, system.logs)
        time.sleep(15)  # in which Docker would have started it again
        found = system.inspect("worker")
        assert (0, "running") == (found["RestartCount"], found["State"]["Status"])
        # A heartbeat of the worker before it counts for half a minute, where that one was killed.
        until(lambda: re.search(r"refused\s+to\s+start", _health(system)) is not None, 60, system.logs)
    finally:
        _put_right(system)
    system.compose("restart", "worker")
    system.until_healthy()


def _health(system: System) -> str:
    """What the worker's own check says where it fails."""
    return system.machine.run(*["docker", "compose", "exec", "-T", "worker", "enrich", "health", "worker"], check=False)


def _put_right(system: System) -> None:
    system.sql(
        "UPDATE golden_vectors a SET vector = k.vector FROM kept k WHERE (a.space_id, a.name) = (k.space_id, k.name)"
    )
    system.sql("DROP TABLE kept")


# -- operation ---------------------------------------------------------------------------------------------------------
def test_everything_restarts(system: System) -> None:
    """`docker compose restart` of everything at once ends with a healthy system that takes events."""
    system.compose("restart", timeout=300)
    # It starts the one-shots again, too, without waiting for the database: whether they succeed does not matter.
    until(lambda: not system.unhealthy(but=ONE_SHOT), 400, system.logs)
    system.upload("after restart.jpg", picture("red", (64, 71)))
    system.until_searchable({"after restart.jpg"}, _EVENT_SECONDS)


def test_a_dump_is_restored_as_documented(system: System) -> None:
    """ "Backups" in the documentation, line by line: what was searchable is so again, and uploads since are found."""
    dump = system.machine.run(
        "sh", "-c", "docker compose exec -T postgres pg_dump -U enrich -Fc enrich > before.dump; stat -c %s before.dump"
    )
    assert int(dump) > 10_000
    before = system.search()
    system.upload("since the dump.jpg", picture("red", (64, 72)))
    system.until_searchable({"since the dump.jpg"}, _EVENT_SECONDS)
    for command in _documented_restore(system.folder):
        system.machine.run("sh", "-ec", command)
    system.up()
    assert before <= system.search()
    system.compose("exec", "-T", "worker", "enrich", "verify", "photos", "--repair")
    system.until_searchable({"since the dump.jpg"}, _EVENT_SECONDS)


def _documented_restore(folder: Path) -> list[str]:
    from tests.unit.deploy.compose import ROOT

    text = (ROOT / "docs/how-to/upgrade-and-back-up.md").read_text()
    block = text.split("for the bundled one that is\n\n```sh\n")[1].split("```")[0]
    return [
        line.partition("  #")[0].strip().replace("exec postgres", "exec -T postgres") for line in block.splitlines()
    ]


def test_down_kills_nothing_and_up_has_everything_again(system: System) -> None:
    """Every container ends by itself within its grace; images and vectors are there afterwards."""
    before = system.search()
    system.compose("stop")
    ended = {each["Service"]: each["ExitCode"] for each in system.containers()}
    assert {} == {service: status for service, status in ended.items() if status not in (0, 143)}
    system.compose("down")
    system.up()
    assert before <= system.search()
    assert system.s3().get_object(Bucket="photos", Key=min(before))["Body"].read()


def test_a_model_is_put_into_the_volume_from_a_directory(system: System, hub: Hub) -> None:
    """As documented: the one-shot copies a mounted directory; afterwards nothing is missing without the hub."""
    shared = system.folder / "model"
    shared.mkdir()
    for file in hub.directory.iterdir():
        (shared / file.name).write_bytes(file.read_bytes())
    for path in (shared, *shared.iterdir()):
        path.chmod(0o755)
    asked = len(hub.requests)
    fetch = ["model", "fetch", "someone/another", "--revision", COMMIT]
    run = ["run", "--rm", "--no-deps", "-T", "-e", "HF_HUB_OFFLINE=1"]
    said = system.compose(*run, "-v", f"{PROJECT}/model:/from:ro", "models", *fetch, "--from", "/from")
    assert COMMIT in said
    assert COMMIT in system.compose(*run, "models", *fetch)
    assert len(hub.requests) == asked
