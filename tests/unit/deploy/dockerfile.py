"""What must hold of the Dockerfile, as functions that return what is wrong; and a small parser."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction with its continuation lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Arguments of an exec form, or words of a shell form."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return self.text.split()


@dataclass(kw_only=True, slots=True)
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """The instructions of one kind."""
        return [each for each in self.instructions if each.name == name]


def parse(text: str) -> list[Stage]:
    """The stages of a Dockerfile; what stands before the first FROM (global ARGs) belongs to none.

    Raises:
        ValueError: a line that is no instruction.
    """
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            base, *rest = instruction.words
            stages.append(Stage(base=base, name=rest[1] if rest else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.name != "ARG":
            raise ValueError(f"{instruction.name} before the first FROM")
    return stages


_KNOWN = re.compile(
    "ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR"
)


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        name, _, rest = line.partition(" ")
        if not _KNOWN.fullmatch(name) or not rest.strip():
            raise ValueError(f"not an instruction: {line}")
        found.append(Instruction(name=name, text=rest.strip()))
    return found


# -- what must hold ----------------------------------------------------------------------------------------------------
def floating_bases(stages: list[Stage]) -> list[str]:
    """Base images that are neither an earlier stage nor pinned to a full version."""
    names = {stage.name for stage in stages}
    return [
        stage.base
        for stage in stages
        if stage.base not in names
        and not any(fnmatch.fnmatchcase(name, re.sub(r"\$\{\w+\}", "*", stage.base)) for name in names)
        and not re.search(r":\d+\.\d+\.\d+[\w.-]*$", stage.base)
    ]


def runs_as_root(stages: list[Stage]) -> bool:
    """Whether the last stage ends as root, or as a name that Kubernetes' runAsNonRoot cannot check."""
    users = stages[-1].all("USER")
    return not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1].text)


def sources(stages: list[Stage]) -> list[str]:
    """What is copied from the build context."""
    return [
        word
        for stage in stages
        for copy in stage.all("COPY")
        if "--from=" not in copy.text
        for word in [word for word in copy.words if not word.startswith("--")][:-1]
    ]


def unconstrained_installs(stages: list[Stage]) -> list[str]:
    """``pip install`` of dependencies without constraints.txt."""
    return [
        run.text
        for stage in stages
        for run in stage.all("RUN")
        for command in re.findall(r"pip install[^&]*", run.text)
        if "-c constraints.txt" not in command and "--no-deps" not in command
    ]


def sources_before_dependencies(stages: list[Stage]) -> list[str]:
    """Product source that is copied into a stage which still installs dependencies: their layer would not be cached."""
    return [
        f"{stage.name}: {copy.text}"
        for stage in stages
        if any("-c constraints.txt" in run.text for run in stage.all("RUN"))
        for copy in stage.all("COPY")
        if re.search(r"\b(worker|schemas|README\.md)\b", copy.text)
    ]


def downloads(stages: list[Stage]) -> list[str]:
    """Hosts written into the recipe: a private mirror could not replace them."""
    return [url for stage in stages for each in stage.instructions for url in re.findall(r"https?://\S+", each.text)]


def ignored(ignore_text: str, path: str) -> bool:
    """Whether .dockerignore keeps a top-level path out of the build context; the last rule that matches decides."""
    verdict = False
    for line in ignore_text.splitlines():
        rule = line.strip()
        if rule and not rule.startswith("#") and fnmatch.fnmatchcase(path, rule.removeprefix("!").removeprefix("**/")):
            verdict = not rule.startswith("!")
    return verdict


def missing(root: Path, paths: list[str]) -> list[str]:
    """Copied paths that are not in the repository."""
    return [path for path in paths if not (root / path).exists()]
