"""From names, files and directories to taxonomies; every problem is reported, with file and line."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from worker import resources
from worker.errors import TaxonomyError
from worker.tagging.taxonomy import Calibration, Label, Taxonomy
from worker.tagging.validation import dotted, problems
from worker.tagging.yaml_lines import Problem, read

#: A taxonomy of ten thousand labels fits; parsing more would take minutes.
MAX_BYTES = 1 << 20

_SUFFIXES = (".yaml", ".yml")
_MOST_PROBLEMS = 50  # shown of one file


def load_taxonomies(names_or_paths: Sequence[str] = ()) -> tuple[Taxonomy, ...]:
    """Load taxonomies, in the order given.

    Args:
        names_or_paths: names of shipped taxonomies, YAML files, and directories (their ``*.yaml`` and ``*.yml``,
            sorted, not those of their subdirectories). A name wins over a path; write ``./setting`` to mean the path.
            Empty: all shipped ones.

    Raises:
        TaxonomyError: lists the problems of every file, or names what does not exist or is called the same.
    """
    files = [file for entry in names_or_paths or shipped_names() for file in _files(entry)]
    loaded, refused = [], []
    for file in files:
        try:
            loaded.append((file, load_taxonomy(file)))
        except TaxonomyError as error:
            refused.append(str(error))
    if refused:
        raise TaxonomyError("\n".join(refused))
    _refuse_equal_names(loaded)
    return tuple(taxonomy for _, taxonomy in loaded)


def load_taxonomy(path: Path | str) -> Taxonomy:
    """Load one file.

    Raises:
        TaxonomyError: one line per problem, ``FILE:LINE: where in the document: what is wrong and what is allowed``.
    """
    document = read(_bytes(Path(path)))
    found = problems(document)
    if found:
        raise TaxonomyError("\n".join(_report(path, found)))
    return _taxonomy(document.value)


def shipped_names() -> tuple[str, ...]:
    """The taxonomies that come with the product."""
    return tuple(file.stem for file in _yaml_files(_shipped_dir()))


def _shipped_dir() -> Path:
    return resources.schemas_dir() / "taxonomies"


def _yaml_files(directory: Path) -> list[Path]:
    files = (file for file in directory.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."))
    return sorted(file for file in files if file.is_file())


def _files(entry: str) -> list[Path]:
    if entry in shipped_names():
        return [_shipped_dir() / f"{entry}.yaml"]
    path = Path(entry)
    try:
        if not entry or not path.exists():
            _refuse_unknown(entry)
        files = _yaml_files(path) if path.is_dir() else [path]
    except OSError as error:
        raise TaxonomyError(f"{entry}: cannot be read: {error.strerror}") from error
    if not files:
        raise TaxonomyError(f"{entry}: the directory holds no *.yaml or *.yml file")
    return files


def _refuse_unknown(entry: str) -> NoReturn:
    names = shipped_names()
    nearest = difflib.get_close_matches(entry.lower(), names, n=1)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    raise TaxonomyError(
        f"{entry or '(empty)'}: no such file or directory, and no shipped taxonomy has that name; "
        f"{hint}shipped: {', '.join(names)}"
    )


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device would block or never end
            raise TaxonomyError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TaxonomyError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise TaxonomyError(f"{path}: larger than {MAX_BYTES:,} bytes; split it into several taxonomies")
    return data


def _report(path: Path | str, found: Sequence[Problem]) -> Iterable[str]:
    for problem in found[:_MOST_PROBLEMS]:
        where = f"{dotted(problem.path)}: " if problem.path else ""
        yield f"{path}:{problem.line}: {where}{problem.message}"
    if len(found) > _MOST_PROBLEMS:
        yield f"{path}: and at least {len(found) - _MOST_PROBLEMS} more problems"


def _refuse_equal_names(loaded: Sequence[tuple[Path, Taxonomy]]) -> None:
    first: dict[str, Path] = {}
    for file, taxonomy in loaded:
        if taxonomy.name in first:
            raise TaxonomyError(
                f"{file}: the name '{taxonomy.name}' is already that of {first[taxonomy.name]}; "
                "rename one of them, or leave one out"
            )
        first[taxonomy.name] = file


# -- from a valid document to values -----------------------------------------------------------------------------------


def _taxonomy(value: Mapping[str, Any]) -> Taxonomy:
    general = _calibration(value, Calibration())
    return Taxonomy(
        name=value["name"],
        title=_text(value.get("title", value["name"])),
        description=_text(value.get("description", "")),
        labels=tuple(_label(name, label) for name, label in value["labels"].items()),
        templates=_texts(value.get("templates", ("{}",))),
        aggregate=value.get("aggregate", "mean"),
        background=_texts(value.get("background", ())),
        calibration=general,
        models={model: _calibration(own, general) for model, own in value.get("models", {}).items()},
    )


def _label(name: str, value: list[str] | dict[str, Any]) -> Label:
    fields: dict[str, Any] = {"prompts": value} if isinstance(value, list) else value
    return Label(
        name=unicodedata.normalize("NFC", name),
        title=_text(fields.get("title", name)),
        description=_text(fields.get("description", "")),
        aliases=_texts(fields.get("aliases", ())),
        prompts=_texts(fields["prompts"]),
    )


def _calibration(value: Mapping[str, Any], default: Calibration) -> Calibration:
    return Calibration(
        threshold=float(value.get("threshold", default.threshold)),
        margin=float(value.get("margin", default.margin)),
        temperature=float(value.get("temperature", default.temperature)),
    )


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(_text(value) for value in values)


def _text(value: str) -> str:
    """Spacing and composition are the editor's, not the author's: neither may reach the model or the version."""
    return unicodedata.normalize("NFC", " ".join(value.split()))
