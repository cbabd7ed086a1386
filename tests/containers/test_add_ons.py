"""The files of deploy/ stacked on docker-compose.yml, with servers outside of its networks, and the listener.

gpu.yml is only read by Compose here: there is no card. The servers outside are of the same stand-in images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.containers import images
from tests.containers.machine import ADDRESS, Machine
from tests.containers.system import SETTINGS, System, running, s3_client, until
from tests.pictures import picture
from tests.unit.deploy import compose
from tests.unit.encoder.hub_server import Hub

_SECONDS = 30.0
_PASSWORD = "outside0"
_DATABASE_URL = f"postgresql://enrich:{_PASSWORD}@{ADDRESS}:15432/enrich"
_BROKER_URL = f"redis://:{_PASSWORD}@{ADDRESS}:16379/0"
_QUEUE_URL = f"http://{ADDRESS}:5000/123456789012/uploads"


def stacked(*add_ons: str) -> dict[str, str]:
    return {**SETTINGS, "COMPOSE_FILE": ":".join(["docker-compose.yml", *(f"deploy/{each}" for each in add_ons)])}


@contextmanager
def outside(machine: Machine, name: str, image: str, *arguments: str, options: tuple[str, ...]) -> Iterator[None]:
    """A container that is no part of the project, reached by the machine's own address."""
    machine.run("docker", "run", "--detach", "--name", name, *options, image, *arguments)
    try:
        yield
    finally:
        machine.run("docker", "rm", "--force", "--volumes", name)


def outside_database(machine: Machine) -> Any:
    environment = ("-ePOSTGRES_USER=enrich", "-ePOSTGRES_DB=enrich", f"-ePOSTGRES_PASSWORD={_PASSWORD}")
    image = images.name_of("postgres")
    return outside(machine, "outside-postgres", image, "postgres", options=(*environment, "--publish=15432:5432"))


def outside_broker(machine: Machine) -> Any:
    command = ("valkey-server", "--requirepass", _PASSWORD, "--save", "")
    return outside(machine, "outside-valkey", images.name_of("valkey"), *command, options=("--publish=16379:6379",))


def uploads_are_enriched(system: System, client: Any) -> None:
    """Found by a search, within the time that events take."""
    until(lambda: bool(client.create_bucket(Bucket="photos")), _SECONDS, system.logs)
    client.put_object(Bucket="photos", Key="one.jpg", Body=picture())
    system.until_searchable({"one.jpg"}, _SECONDS)


def services(system: System) -> set[str]:
    return {each["Service"] for each in system.containers()}


def test_a_database_outside(host: Machine, hub: Hub, checkout: Path) -> None:
    """external-postgres.yml: it is migrated and used, and no PostgreSQL is started."""
    settings = stacked("external-postgres.yml") | {"ENRICH_DATABASE_URL": _DATABASE_URL}
    with outside_database(host), running(host, checkout, settings) as system:
        assert "postgres" not in services(system)
        uploads_are_enriched(system, system.s3())


def test_a_broker_outside(host: Machine, hub: Hub, checkout: Path) -> None:
    """external-broker.yml: it is used, and no Valkey is started."""
    settings = stacked("external-broker.yml") | {"ENRICH_BROKER_URL": _BROKER_URL}
    with outside_broker(host), running(host, checkout, settings) as system:
        assert "valkey" not in services(system)
        uploads_are_enriched(system, system.s3())


def test_a_store_outside(host: Machine, hub: Hub, checkout: Path) -> None:
    """external-s3.yml: its events reach the api by its published port, and no SeaweedFS is started."""
    url = f"http://{ADDRESS}:18334"
    settings = stacked("external-s3.yml") | {
        "ENRICH_BUCKETS": "photos",
        "EXTERNAL_S3_ENDPOINT_URL": url,
        "EXTERNAL_S3_ACCESS_KEY_ID": "outsider",
        "EXTERNAL_S3_SECRET_ACCESS_KEY": _PASSWORD,
        "API_BIND": ADDRESS,
    }
    with running(host, checkout, settings, api=ADDRESS) as system, outside_store(host, system):
        assert "seaweedfs" not in services(system)
        uploads_are_enriched(system, s3_client("outsider", _PASSWORD, url))


@contextmanager
def outside_store(machine: Machine, system: System) -> Iterator[None]:
    """A SeaweedFS that posts to the api as docs/how-to/connect-a-store.md says."""
    folder = system.folder / "outside"
    folder.mkdir(exist_ok=True)
    keys = [{"accessKey": "outsider", "secretKey": _PASSWORD}]
    identities = [{"name": "outsider", "credentials": keys, "actions": ["Admin", "Read", "Write", "List"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    webhook = (compose.ROOT / "deploy/seaweedfs/notification.toml").read_text()
    (folder / "notification.toml").write_text(webhook.replace("http://api:8700", f"http://{ADDRESS}:8700"))
    command = ("server", "-ip=127.0.0.1", "-ip.bind=localhost", "-filer", "-s3", "-s3.ip.bind=0.0.0.0")
    more = ("-master.volumePreallocate=false", "-volume.max=100", "-s3.config=/etc/seaweedfs/s3.json")
    token = f"-eWEED_NOTIFICATION_WEBHOOK_BEARER_TOKEN={system.secret('ENRICH_API_EVENTS_TOKEN')}"
    options = ("--volume=/project/outside:/etc/seaweedfs:ro", "--publish=18334:8333", token)
    with outside(machine, "outside-s3", images.name_of("seaweedfs"), *command, *more, options=options):
        yield


def test_a_model_in_the_image(host: Machine, hub: Hub, checkout: Path) -> None:
    """baked-model.yml, with an empty revision for the main branch: no volume, no fetching, and it embeds."""
    with running(host, checkout, stacked("baked-model.yml")) as system:
        assert "models" not in services(system)
        assert [] == [each for each in system.inspect("worker")["Mounts"] if each["Type"] == "volume"]
        uploads_are_enriched(system, system.s3())


def test_a_gpu_is_asked_for(host: Machine, checkout: Path) -> None:
    """gpu.yml: Compose accepts it; only the worker gets a device, and another image than the others."""
    system = System(machine=host, folder=checkout)
    system.configure(stacked("gpu.yml"))
    found = json.loads(system.compose("config", "--format", "json"))["services"]
    devices = {name: each.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices") for name, each
               in found.items()}  # fmt: skip
    assert ["worker"] == [name for name, each in devices.items() if each]
    assert ("image-enricher:0.1.0-gpu", "gpu") == (found["worker"]["image"], found["worker"]["build"]["args"]["DEVICE"])


def test_the_listener_takes_events_from_a_queue(host: Machine, hub: Hub, checkout: Path) -> None:
    """COMPOSE_PROFILES=aws: an upload whose webhook found no api is enriched by its message, which is deleted."""
    settings = SETTINGS | {
        "COMPOSE_PROFILES": "aws",
        "ENRICH_SQS_QUEUES": _QUEUE_URL,
        "ENRICH_SQS_ENDPOINT_URL": f"http://{ADDRESS}:5000",
        "EXTERNAL_S3_ACCESS_KEY_ID": "test",
        "EXTERNAL_S3_SECRET_ACCESS_KEY": "test",
    }
    with queue() as sqs, running(host, checkout, settings) as system:
        system.s3().create_bucket(Bucket="photos")
        system.compose("stop", "api", "scheduler")
        system.upload("by queue.jpg", picture())
        time.sleep(3)  # in which the store gives up posting
        system.compose("start", "api")
        until(lambda: "by queue.jpg" not in system.search(), 60, system.logs)
        sqs.send_message(QueueUrl=_QUEUE_URL, MessageBody=json.dumps(_created("photos", "by+queue.jpg")))
        system.until_searchable({"by queue.jpg"}, _SECONDS)
        until(lambda: _messages(sqs) == 0, 10, system.logs)


@contextmanager
def queue() -> Iterator[Any]:
    """An SQS of moto with one queue, in the machine's network."""
    server = ThreadedMotoServer(ip_address=ADDRESS, port=5000, verbose=False)
    server.start()
    try:
        sqs = boto3.client(
            "sqs", endpoint_url=f"http://{ADDRESS}:5000", region_name="us-east-1", aws_access_key_id="test",
            aws_secret_access_key="test",
        )  # fmt: skip
        sqs.create_queue(QueueName="uploads")
        yield sqs
    finally:
        server.stop()


def _created(bucket: str, key: str) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1000, "sequencer": "01"}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}
    return {"Records": [record | {"eventTime": "2026-01-01T00:00:00.000Z"}]}


def _messages(sqs: Any) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=_QUEUE_URL, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)
