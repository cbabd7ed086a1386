"""The image recipe, without an engine to build it. Every check is also shown a broken copy."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import typer

from tests.unit.deploy import compose, dockerfile
from worker.cli import app
from worker.settings import Settings

TEXT = (compose.ROOT / "Dockerfile.gpu").read_text()
STAGES = dockerfile.parse(TEXT)
IGNORE = (compose.ROOT / ".dockerignore").read_text()
PROJECT = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]


def broken(old: str, new: str) -> list[dockerfile.Stage]:
    assert old in TEXT
    return dockerfile.parse(TEXT.replace(old, new))


def test_the_recipe_parses():
    """Stages are bases, requirements, dependencies, product, model and what runs; nothing else is in it."""
    names = ["base-gpu", "base-cpu", "requirements", "dependencies", "product", "model", "runtime"]
    assert [stage.name for stage in STAGES] == names


@pytest.mark.parametrize("line", ["RUNN true", "USER", "RUN true\nFORM x"])
def test_the_parser_refuses_what_is_no_instruction(line):
    """A misspelt or empty instruction is an error."""
    with pytest.raises(ValueError, match="not an instruction"):
        dockerfile.parse(f"FROM a:1.2.3\n{line}\n")


def test_bases_are_pinned():
    """Every base is a stage of this file or a full version."""
    assert [] == dockerfile.floating_bases(STAGES)


@pytest.mark.parametrize("base", ["python", "python:latest", "python:3.12-slim"])
def test_a_floating_base_is_noticed(base):
    """An image without patch version is reported."""
    assert dockerfile.floating_bases(broken("python:3.12.14-slim-trixie", base)) == [base]


def test_both_bases_have_the_same_supported_python():
    """CPU and GPU images run one Python version, and one that the project supports."""
    assert {"3.12"} == set(re.findall(r"python:?(3\.\d+)", TEXT))
    assert ">=3.11" == PROJECT["requires-python"]


def test_the_gpu_base_matches_the_wheel():
    """torch 2.13's default Linux wheel is built for CUDA 13.0, and so is the base that declares what it needs."""
    assert STAGES[0].base.startswith("nvidia/cuda:13.0.")
    assert "torch==2.13." in (compose.ROOT / "constraints.txt").read_text()


def test_it_does_not_run_as_root():
    """The user is a number, so that a cluster's policy can check it."""
    assert dockerfile.runs_as_root(STAGES) is False


@pytest.mark.parametrize("user", ["USER root", "USER 0:0", "USER enrich", "WORKDIR /x"])
def test_root_is_noticed(user):
    """Root, a name, and no user at all are reported."""
    assert dockerfile.runs_as_root(broken("USER 10001:10001", user)) is True


def test_what_is_copied_exists_and_reaches_the_builder():
    """No source is missing from the repository or kept out by .dockerignore."""
    copied = dockerfile.sources(STAGES)
    assert {"constraints.txt", "pyproject.toml", "worker", "schemas"} <= {path.removeprefix("./") for path in copied}
    assert [] == dockerfile.missing(compose.ROOT, copied)
    assert [] == [path for path in copied if dockerfile.ignored(IGNORE, path.removeprefix("./"))]


def test_a_missing_source_is_noticed():
    """Copying what is not there is reported."""
    damaged = dockerfile.sources(broken("COPY worker ./worker", "COPY wrker ./worker"))
    assert ["wrker"] == dockerfile.missing(compose.ROOT, damaged)


@pytest.mark.parametrize(
    "path", [".env", ".enrich", ".git", ".venv", "deploy", "tests", "photos", "x.pyc", "__pycache__"]
)
def test_secrets_and_data_never_reach_the_builder(path):
    """Whatever is not copied is not sent."""
    assert dockerfile.ignored(IGNORE, path) is True


def test_dependencies_are_constrained():
    """Every install of dependencies uses constraints.txt."""
    assert [] == dockerfile.unconstrained_installs(STAGES)
    assert 1 == len(dockerfile.unconstrained_installs(broken("install -c constraints.txt torch", "install torch")))


def test_a_change_of_source_does_not_reinstall_dependencies():
    """Source is copied only after the stage that installs them, torch first of all."""
    assert [] == dockerfile.sources_before_dependencies(STAGES)
    assert 1 == len(dockerfile.sources_before_dependencies(broken("COPY constraints.txt ./", "COPY worker ./")))
    dependencies = next(stage for stage in STAGES if stage.name == "dependencies")
    installs = [run.text for run in dependencies.all("RUN") if "pip install" in run.text]
    assert ["torch", "requirements.txt"] == [install.split()[-1] for install in installs]


@pytest.mark.parametrize("extras", [[], ["openvino"], ["openvino", "local"]])
def test_requirements_are_those_of_the_project_and_of_extras_asked_for(extras: list[str]):
    """What the recipe prints into requirements.txt, run as it stands there."""
    [run] = [each.text for stage in STAGES for each in stage.all("RUN") if "tomllib" in each.text]
    found = re.search(r'python3\.12 -c "([^"]+)"', run)
    assert found is not None
    command = [sys.executable, "-c", found[1], *extras]
    printed = subprocess.run(command, cwd=compose.ROOT, capture_output=True, text=True, check=True).stdout
    expected = sum((PROJECT["optional-dependencies"][each] for each in extras), PROJECT["dependencies"])
    assert expected == printed.splitlines()


def test_downloads_are_cached_between_builds():
    """Each pip install keeps its wheels in a BuildKit cache, which never becomes a layer."""
    installs = [run.text for stage in STAGES for run in stage.all("RUN") if "pip install" in run.text]
    assert 3 == len(installs)
    assert all("--mount=type=cache,target=/root/.cache/pip" in install for install in installs)


def test_no_host_is_written_into_it():
    """Registries and hubs come from the builder's own configuration."""
    assert [] == dockerfile.downloads(STAGES)
    assert dockerfile.downloads(broken("pip install --no-deps .", "pip install --no-deps https://a.example/b")) != []


def test_it_starts_our_command_under_an_init():
    """PID 1 passes signals on and reaps; the command is the one the package installs."""
    [entrypoint] = STAGES[-1].all("ENTRYPOINT")
    [command] = STAGES[-1].all("CMD")
    assert ["tini", "--", "enrich"] == entrypoint.words
    assert "enrich" in PROJECT["scripts"]
    assert command.words[0] in typer.main.get_command(app).commands  # type: ignore[attr-defined]
    packages = {stage.name: "".join(run.text for run in stage.all("RUN")) for stage in STAGES[:2]}
    assert ["base-gpu", "base-cpu"] == [name for name, text in packages.items() if "tini" in text]


def test_a_compiler_comes_only_when_asked_for():
    """What runs untrusted files through decoders has none at hand; torch-compile gets one, and a place for its code."""
    installed = STAGES[0].all("RUN")[0].text
    assert "$COMPILER" in installed
    assert ['COMPILER=""'] == [arg.text for arg in STAGES[0].all("ARG")]
    assert [] == [stage.name for stage in STAGES if any("g++" in each.text for each in stage.instructions)]
    made = "".join(run.text for run in STAGES[-1].all("RUN"))
    [cache] = re.findall(r"TORCHINDUCTOR_CACHE_DIR=(\S+)", "".join(env.text for env in STAGES[-1].all("ENV")))
    assert cache in made


def test_it_checks_its_own_health():
    """The image's check is the one of the command it starts by default."""
    [check] = STAGES[-1].all("HEALTHCHECK")
    assert check.text.endswith('CMD ["enrich", "health", "worker"]')


def test_its_settings_exist():
    """Every ENRICH_ variable of the running image is a field of Settings."""
    names = re.findall(r"\b(ENRICH_[A-Z0-9_]+)=", " ".join(env.text for env in STAGES[-1].all("ENV")))
    assert ["ENRICH_HOME"] == names
    assert [] == [name for name in names if name.removeprefix("ENRICH_").lower() not in Settings.model_fields]


def test_the_model_cache_is_where_compose_mounts_it():
    """HF_HOME, the baked model and the volume are one place."""
    home = re.search(r"HF_HOME=(\S+)", " ".join(env.text for env in STAGES[-1].all("ENV")))
    assert home is not None
    base = compose.parse(compose.BASE.read_text())["services"]
    assert [f"models:{home[1]}"] == base["models"]["volumes"]
    assert {f"models:{home[1]}:ro"} == {base[name]["volumes"][0] for name in ("api", "worker")}
    assert any(copy.text.endswith(f"/model {home[1]}") for copy in STAGES[-1].all("COPY"))


def test_build_arguments_exist():
    """Every argument that a compose file passes is declared, and so is every stage that DEVICE can choose."""
    declared = set(re.findall(r"^ARG (\w+)", TEXT, flags=re.MULTILINE))
    for path in (compose.BASE, *compose.ADD_ONS):
        for service in compose.parse(path.read_text())["services"].values():
            arguments = service.get("build", {}).get("args", {})
            assert set(arguments) <= declared
            assert f"base-{arguments.get('DEVICE', 'gpu')}" in {stage.name for stage in STAGES}


def test_its_version_is_ours():
    """The label's default is the project's version."""
    assert f'ARG VERSION="{PROJECT["version"]}"' in TEXT


def test_only_data_is_baked_in():
    """The model's download names safetensors, JSON and tokenizer tables; no pickle matches."""
    patterns = re.findall(r"--include '([^']+)'", TEXT)
    assert ["model*.safetensors*", "*.json", "*.txt", "*.model"] == patterns
