"""What must hold of the compose files, as functions that return what is wrong; and the little of Compose they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "docker-compose.yml"
ADD_ONS = tuple(sorted((ROOT / "deploy").glob("*.yml")))
ONE_SHOT = ("migrate", "models", "roles")
PUBLISHED = ("api", "seaweedfs")

Compose = dict[str, Any]

# ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message}, ${NAME?message}; a default may hold one more of them.
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:?[-?])(?P<rest>(?:[^{}]|\$\{[^{}]*\})*))?\}")
_ESCAPED = "\0"


class MissingVariableError(Exception):
    """A variable without which Compose refuses to start."""


class _Loader(yaml.SafeLoader):
    """Knows Compose's own tags."""


_Loader.add_constructor("!reset", lambda _loader, _node: None)


def parse(text: str) -> Compose:
    """A compose file, anchors and merges resolved, variables not."""
    loaded: Compose = yaml.load(text, Loader=_Loader)
    return loaded


def variables(text: str) -> dict[str, list[str]]:
    """Every variable of a file and the operators it is used with: ``:-``, ``:?``, ``-`` or nothing."""
    found: dict[str, list[str]] = {}
    for match in _VARIABLE.finditer(_without_comments(text).replace("$$", _ESCAPED)):
        found.setdefault(match["name"], []).append(match["kind"] or "")
        for name, kinds in variables(match["rest"] or "").items():
            found.setdefault(name, []).extend(kinds)
    return found


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def interpolate(value: Any, environment: Mapping[str, str]) -> Any:
    """What Compose makes of a parsed value.

    Raises:
        MissingVariableError: a required variable is not set.
    """
    if isinstance(value, dict):
        return {key: interpolate(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, environment) for each in value]
    if not isinstance(value, str):
        return value
    text = value.replace("$$", _ESCAPED)
    return _VARIABLE.sub(lambda match: _value(match, environment), text).replace(_ESCAPED, "$")


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    kind, rest = match["kind"] or "", match["rest"] or ""
    value = environment.get(match["name"])
    if value is None or (value == "" and kind.startswith(":")):
        if kind.endswith("?"):
            raise MissingVariableError(f"{match['name']}: {rest}")
        return str(interpolate(rest, environment))
    return value


def template_variables(text: str) -> dict[str, str]:
    """Names and values in an env template, those of commented-out settings included."""
    return dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", text, flags=re.MULTILINE))


def long_running(compose: Compose) -> Iterator[tuple[str, Compose]]:
    """The services that stay."""
    return ((name, each) for name, each in compose["services"].items() if name not in ONE_SHOT)


def seconds(duration: str) -> int:
    """Compose's durations, as far as they are used here."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


# -- what must hold ----------------------------------------------------------------------------------------------------
def unsupervised(compose: Compose) -> list[str]:
    """Long-running services without a health check, a restart policy, bounded logs, or a bound on memory."""
    wanted: dict[str, Callable[[Compose], object]] = {
        "a health check": lambda each: each.get("healthcheck", {}).get("test"),
        "a restart policy": lambda each: each.get("restart") == "unless-stopped",
        "bounded logs": lambda each: {"max-size", "max-file"} <= set(each.get("logging", {}).get("options", {})),
        "a memory limit": lambda each: each.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory"),
        "time to stop": lambda each: each.get("stop_grace_period"),
        "no new privileges": lambda each: "no-new-privileges:true" in each.get("security_opt", ()),
    }
    return [
        f"{name} lacks {what}"
        for name, each in long_running(compose)
        for what, holds in wanted.items()
        if not holds(each)
    ]


def unpinned(compose: Compose, environment: Mapping[str, str]) -> list[str]:
    """Images without a version that stays what it is."""
    images = {name: str(interpolate(each["image"], environment)) for name, each in compose["services"].items()}
    return [
        f"{name}: {image}" for name, image in images.items() if not re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*$", image)
    ]


def exposed(compose: Compose, environment: Mapping[str, str]) -> list[str]:
    """Ports published by services that should publish none, or beyond this machine."""
    problems = []
    for name, each in compose["services"].items():
        for port in interpolate(each.get("ports", []), environment):
            if name not in PUBLISHED:
                problems.append(f"{name} publishes {port}")
            elif not str(port).startswith("127.0.0.1:"):
                problems.append(f"{name} publishes {port} beyond this machine")
    return problems


def unordered(compose: Compose) -> list[str]:
    """Dependencies that wait for less than readiness, or on services that are not there."""
    problems = []
    for name, each in compose["services"].items():
        for other, how in each.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            if other not in compose["services"]:
                problems.append(f"{name} waits for {other}, which is no service")
            elif how.get("condition") != wanted:
                problems.append(f"{name} waits for {other}: {how.get('condition')}, not {wanted}")
    return problems


def with_default_secrets(text: str) -> list[str]:
    """Secrets that start without being set."""
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")
    return [
        name
        for name, kinds in variables(text).items()
        if secret.search(name) and not name.startswith(("EXTERNAL_", "HF_")) and set(kinds) != {":?"}
    ]


def literal_secrets(compose: Compose) -> list[str]:
    """Environment values that are secrets and not variables."""
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")
    return [
        f"{service}: {name}"
        for service, each in compose["services"].items()
        for name, value in each.get("environment", {}).items()
        if secret.search(name) and not str(value).startswith("${")
    ]


def missing_mounts(compose: Compose, root: Path) -> list[str]:
    """Mounts whose source is neither a file of the repository nor a volume or config of the file."""
    problems = []
    for name, each in compose["services"].items():
        for volume in each.get("volumes") or ():
            source = volume.split(":")[0]
            known = (root / source).exists() if source.startswith(".") else source in compose["volumes"]
            problems += [] if known else [f"{name}: {source}"]
        problems += [f"{name}: {c['source']}" for c in each.get("configs", ()) if c["source"] not in compose["configs"]]
    return problems


def unknown_commands(compose: Compose, commands: Mapping[str, object]) -> list[str]:
    """Commands and health checks of our image that the product does not have."""
    problems = []
    for name, each in compose["services"].items():
        if "build" not in each:
            continue
        test = each.get("healthcheck", {}).get("test", ["CMD", "enrich", "health", name])
        if each["command"][0] not in commands:
            problems.append(f"{name} runs {each['command'][0]}")
        if test[:3] != ["CMD", "enrich", "health"] or "health" not in commands or test[3:] != [name]:
            problems.append(f"{name} is checked by {test}")
    return problems


def unknown_settings(compose: Compose, fields: Mapping[str, object]) -> list[str]:
    """``ENRICH_`` variables given to containers that are no setting of the product."""
    return [
        f"{service}: {name}"
        for service, each in compose["services"].items()
        for name in each.get("environment", {})
        if name.startswith("ENRICH_") and name.removeprefix("ENRICH_").lower() not in fields
    ]
