"""The project's compose file, run as docs/how-to/deployment.md says, and what tests ask of what runs."""

from __future__ import annotations

import json
import shutil
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from tests.containers.machine import ADDRESS, CommandError, Machine
from tests.unit.deploy import compose
from tests.unit.encoder.hub_server import REPOSITORY

#: What a user has of the project, less what only its developers need.
_FILES = (
    ".dockerignore", "Dockerfile.gpu", "LICENSE", "README.md", "constraints.txt", "deploy", "docker-compose.yml",
    "pyproject.toml", "schemas", "worker",
)  # fmt: skip
#: For .env. An empty revision: the main branch, whatever commit that is.
SETTINGS = {
    "ENRICH_MODEL": REPOSITORY,
    "ENRICH_MODEL_REVISION": "",
    "HF_ENDPOINT": f"http://{ADDRESS}:8091",
    "PIP_EXTRA_INDEX_URL": "",
    "POSTGRES_SHARED_BUFFERS": "128MB",
}
#: Services that do their work once.
ONE_SHOT = ("migrate", "models", "roles")


def copy_project(folder: Path) -> None:
    """A checkout of its own, for .env and enrich.env to be written into."""
    for name in _FILES:
        source = compose.ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


@dataclass(kw_only=True)
class System:
    """The compose project in the machine."""

    machine: Machine
    folder: Path  # the checkout, as seen from here
    api: str = "127.0.0.1"  # where it is published

    # -- Compose -----------------------------------------------------------------------------------------------------
    def compose(self, *arguments: str, stdin: str | bytes | None = None, timeout: float = 600) -> str:
        """``docker compose …``; returns what it prints."""
        return self.machine.run("docker", "compose", *arguments, stdin=stdin, timeout=timeout)

    def python(self, service: str, program: str) -> str:
        """Run a program with the Python of a service's container."""
        return self.compose("exec", "-T", service, "python", "-c", program).strip()

    def sql(self, query: str) -> str:
        """What the bundled database answers, fields separated by ``|``."""
        psql = ["psql", "--no-psqlrc", "-U", "enrich", "-d", "enrich", "-tA", "-v", "ON_ERROR_STOP=1", "-c"]
        return self.compose("exec", "-T", "postgres", *psql, query).strip()

    def configure(self, settings: Mapping[str, str], more: Mapping[str, str] | None = None) -> None:
        """A fresh .env with these settings, the secrets of the old one kept, and an enrich.env."""
        env = self.folder / ".env"
        if not env.exists():
            self.machine.run("sh", "deploy/make-env.sh")
        secrets = [f"{name}={self.secret(name)}" for name in _secret_names(self.folder)]
        env.write_text("\n".join([*secrets, *(f"{name}={value}" for name, value in settings.items()), ""]))
        (self.folder / "enrich.env").write_text("".join(f"{name}={value}\n" for name, value in (more or {}).items()))

    def secret(self, name: str) -> str:
        """A secret of .env."""
        return dict(line.split("=", 1) for line in (self.folder / ".env").read_text().splitlines() if "=" in line)[name]

    def up(self, *services: str, healthy_within: float = 400) -> None:
        """``docker compose up -d``, until everything that stays is healthy."""
        try:
            self.compose("up", "-d", "--quiet-pull", *services)
        except CommandError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error
        self.until_healthy(healthy_within)

    def until_healthy(self, seconds: float = 400) -> None:
        """Raises AssertionError with what is wrong, after so many seconds."""
        until(lambda: not self.unhealthy(), seconds, lambda: f"{self.unhealthy()}\n{self.logs()}")

    def unhealthy(self, but: Collection[str] = ()) -> list[str]:
        """What does not run, or is not healthy; of one-shot services, what failed."""
        return [
            f"{each['Service']}: {each['State']} {each['Health']} {each['ExitCode']}"
            for each in self.containers()
            if not _is_well(each) and each["Service"] not in but
        ]

    def containers(self) -> list[dict[str, Any]]:
        """Compose's own list, those that have ended included."""
        return [json.loads(line) for line in self.compose("ps", "--all", "--format", "json").splitlines() if line]

    def inspect(self, service: str) -> dict[str, Any]:
        """What Docker knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        [found] = json.loads(self.machine.run("docker", "inspect", container))
        return dict(found)

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "15")

    def first_process(self, service: str) -> str:
        """Of a service's container, by its number in the machine."""
        return str(self.inspect(service)["State"]["Pid"])

    def kill_9(self, process: str) -> None:
        """End a container as a crash would: unlike after `docker kill`, its policy starts it again."""
        self.machine.run("kill", "-KILL", process)

    # -- the store and the API ---------------------------------------------------------------------------------------
    def s3(self, who: str = "S3_OWNER") -> Any:
        """A client with a key of .env."""
        return s3_client(self.secret(f"{who}_ACCESS_KEY_ID"), self.secret(f"{who}_SECRET_ACCESS_KEY"))

    def upload(self, key: str, body: bytes, bucket: str = "photos") -> None:
        self.s3().put_object(Bucket=bucket, Key=key, Body=body)

    def get(self, path: str, *, token: str = "ENRICH_API_READ_TOKEN") -> urllib3.BaseHTTPResponse:
        return self._request("GET", path, token=token)

    def log_in(self) -> urllib3.BaseHTTPResponse:
        """A session, for the admin token."""
        asked = {"token": self.secret("ENRICH_API_TOKEN")}
        return self._request("POST", "/session", token="ENRICH_API_READ_TOKEN", json=asked)

    def search(self, text: str = "a red picture") -> set[str]:
        """Keys that a search finds, in all buckets."""
        asked = {"text": text, "limit": 100, "collapse": False}
        answer = self._request("POST", "/v1/search", token="ENRICH_API_READ_TOKEN", json=asked)
        assert 200 == answer.status, answer.data
        return {each["key"] for each in answer.json()["hits"]}

    def metrics(self) -> str:
        """Of the API."""
        return self._request("GET", "/metrics").data.decode()

    def _request(self, method: str, path: str, *, token: str | None = None, **more: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.secret(token)}"} if token else {}
        return urllib3.request(
            method, f"http://{self.api}:8700{path}", headers=headers, timeout=30, retries=False, **more
        )

    def classify(self, file: bytes, labels: Sequence[str]) -> dict[str, Any]:
        """What the API says about an uploaded file."""
        asked = {"images": [{"data": b64encode(file).decode()}], "labels": list(labels)}
        answer = self._request("POST", "/v1/classify", token="ENRICH_API_READ_TOKEN", json=asked)
        assert 200 == answer.status, answer.data
        found: dict[str, Any] = answer.json()
        return found

    def until_searchable(self, keys: set[str], seconds: float) -> None:
        until(lambda: keys <= self.search(), seconds, lambda: f"lacks {keys - self.search()}\n{self.logs()}")


def _is_well(container: dict[str, Any]) -> bool:
    if container["Service"] in ONE_SHOT:
        return (container["State"], container["ExitCode"]) == ("exited", 0)
    return (container["State"], container["Health"]) == ("running", "healthy")


def _secret_names(folder: Path) -> list[str]:
    template = (folder / "deploy/.env.example").read_text()
    return [line.removesuffix("=") for line in template.splitlines() if line.endswith("=") and not line.startswith("#")]


def s3_client(access_key: str, secret_key: str, url: str = "http://127.0.0.1:8333") -> Any:
    """An S3 client that does not repeat what failed."""
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, connect_timeout=10),
    )  # fmt: skip


def until(true: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait for something; what is asked may fail meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
            problem = ""
        except (CommandError, HTTPError, BotoCoreError, ClientError, AssertionError) as error:
            problem = f"{type(error).__name__}: {error}\n"
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {problem}{otherwise()}")
        time.sleep(0.5)


@contextmanager
def running(
    machine: Machine,
    folder: Path,
    settings: Mapping[str, str],
    more: Mapping[str, str] | None = None,
    *,
    api: str = "127.0.0.1",
) -> Iterator[System]:
    """From nothing to running with these settings; nothing of it is left afterwards, volumes included."""
    system = System(machine=machine, folder=folder, api=api)
    system.configure(settings, more)
    try:
        system.compose("build", "migrate", timeout=3000)
        system.up()
        yield system
    finally:
        system.compose("down", "--volumes", "--remove-orphans", "--timeout", "60")
