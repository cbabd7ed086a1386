"""Loads taxonomies from names, files and directories. Every problem is reported with file and line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from worker import resources, safe_files
from worker.errors import TaxonomyError
from worker.safe_files import NotConfinedError
from worker.tagging import conditions, vocabulary
from worker.tagging.building import build
from worker.tagging.content import MAX_TEXTS
from worker.tagging.messages import dotted
from worker.tagging.taxonomy import Taxonomy
from worker.tagging.validation import problems
from worker.tagging.yaml_lines import Document, YamlProblem, read

#: A taxonomy of ten thousand labels fits; parsing more would take minutes.
MAX_BYTES = 1 << 20

_SUFFIXES = (".yaml", ".yml")
_MOST_PROBLEMS = 50  # shown of one file


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyFile:
    """A taxonomy and where it was read."""

    path: Path
    document: Document
    taxonomy: Taxonomy


def load_taxonomies(names_or_paths: Sequence[str] = (), *, alone: bool = True) -> tuple[Taxonomy, ...]:
    """Load taxonomies, in the order given.

    Args:
        names_or_paths: names of shipped taxonomies, YAML files, and directories (their ``*.yaml`` and ``*.yml``,
            sorted, not those of their subdirectories). A name wins over a path; write ``./setting`` to mean the path.
            Empty: all shipped ones.
        alone: whether they are all that there will be, so that each ``when`` must be decided by them. If not, ask
            ``check_conditions`` later.

    Raises:
        TaxonomyError: lists the problems of every file, or names what does not exist or is called the same.
    """
    return tuple(file.taxonomy for file in load_files(names_or_paths, alone=alone))


def load_files(names_or_paths: Sequence[str] = (), *, alone: bool = True) -> tuple[TaxonomyFile, ...]:
    """Like ``load_taxonomies``, with each taxonomy's file."""
    paths = [file for entry in names_or_paths or shipped_names() for file in _files(entry)]
    loaded = _all_of(partial(_load, path) for path in paths)
    if alone:
        check_conditions(loaded, [file.taxonomy for file in loaded])
    return tuple(loaded)


def parse_files(texts: Mapping[str, str]) -> tuple[TaxonomyFile, ...]:
    """Read taxonomies that are not in files.

    Args:
        texts: name for error messages → YAML. Conditions are left to ``check_conditions``.

    Raises:
        TaxonomyError: as ``load_files``; also for a ``vocabulary``, which names a file.
    """
    return tuple(_all_of(partial(_parse, name, text) for name, text in texts.items()))


def load_taxonomy(path: Path | str) -> Taxonomy:
    """Load one file. Whether its ``when`` can be decided is for ``load_taxonomies`` to say, which knows the others.

    Raises:
        TaxonomyError: one line per problem, ``FILE:LINE: where in the document: what is wrong and what is allowed``.
    """
    return _load(Path(path)).taxonomy


def _all_of(loads: Iterable[Callable[[], TaxonomyFile]]) -> list[TaxonomyFile]:
    loaded, refused = [], []
    for load in loads:
        try:
            loaded.append(load())
        except TaxonomyError as error:
            refused.append(str(error))
    if refused:
        raise TaxonomyError("\n".join(refused))
    _refuse_equal_names(loaded)
    return loaded


def _load(path: Path) -> TaxonomyFile:
    document = _valid(path, _bytes(path))
    words = _words(path, document)
    return TaxonomyFile(path=path, document=document, taxonomy=build(document.value, words))


def _parse(name: str, text: str) -> TaxonomyFile:
    data = text.encode()
    if len(data) > MAX_BYTES:
        raise TaxonomyError(f"{name}: {len(data):,} bytes; at most {MAX_BYTES:,} are allowed")
    document = _valid(name, data)
    if "vocabulary" in document.value:
        line = document.line(("vocabulary",))
        raise TaxonomyError(f"{name}:{line}: vocabulary: names a file, which only files have beside them")
    return TaxonomyFile(path=Path(name), document=document, taxonomy=build(document.value))


def _valid(path: Path | str, data: bytes) -> Document:
    document = read(data)
    found = problems(document)
    if found:
        raise TaxonomyError("\n".join(_report(path, found)))
    return document


def _words(path: Path, document: Document) -> tuple[str, ...]:
    """Those of the file that ``vocabulary`` names, which is looked for beside the taxonomy's own."""
    if "vocabulary" not in document.value:
        return ()
    try:
        file = safe_files.beside(path.parent, document.value["vocabulary"])
    except NotConfinedError as error:
        problem = YamlProblem(line=document.line(("vocabulary",)), path=("vocabulary",), message=str(error))
        raise TaxonomyError("\n".join(_report(path, [problem]))) from error
    words, found = vocabulary.read(_bytes(file))
    templates = document.value.get("templates", ("{}",))
    if not found and len(words) * len(templates) > MAX_TEXTS:
        message = f"{len(words) * len(templates):,} texts (words × templates); at most {MAX_TEXTS:,} are allowed"
        found = [YamlProblem(line=1, path=(), message=message)]
    if found:
        raise TaxonomyError("\n".join(_report(file, found)))
    return words


def shipped_names() -> tuple[str, ...]:
    """The shipped taxonomies."""
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
        files = _inside(path, _yaml_files(path)) if path.is_dir() else [path]
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        raise TaxonomyError(f"{entry}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not files:
        raise TaxonomyError(f"{entry}: the directory holds no *.yaml or *.yml file")
    return files


def _inside(directory: Path, files: Sequence[Path]) -> list[Path]:
    """The same, unless one of them is a link out of the directory: anyone who may write there could have made it."""
    for file in files:
        try:
            safe_files.inside(directory, file)
        except NotConfinedError as error:
            raise TaxonomyError(f"{file}: {error}, or name it by itself") from error
    return list(files)


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
        return safe_files.read(path, most=MAX_BYTES)
    except NotConfinedError as error:
        remedy = "; split it into several taxonomies" if path.is_file() else ""
        raise TaxonomyError(f"{path}: {error}{remedy}") from error
    except FileNotFoundError as error:
        raise TaxonomyError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        raise TaxonomyError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _report(path: Path | str, found: Sequence[YamlProblem]) -> Iterable[str]:
    for problem in found[:_MOST_PROBLEMS]:
        where = f"{dotted(problem.path)}: " if problem.path else ""
        yield f"{path}:{problem.line}: {where}{problem.message}"
    if len(found) > _MOST_PROBLEMS:
        yield f"{path}: and at least {len(found) - _MOST_PROBLEMS} more problems"


def _refuse_equal_names(loaded: Sequence[TaxonomyFile]) -> None:
    first: dict[str, Path] = {}
    for file in loaded:
        name = file.taxonomy.name
        if name in first:
            raise TaxonomyError(
                f"{file.path}: the name '{name}' is already that of {first[name]}; rename one of them, or leave one out"
            )
        first[name] = file.path


def check_conditions(loaded: Sequence[TaxonomyFile], together: Sequence[Taxonomy]) -> None:
    """Check whether each ``when`` can be decided.

    Args:
        loaded: files, for the lines of their conditions.
        together: all taxonomies that there will be.

    Raises:
        TaxonomyError: names each condition that cannot, with its line if it is in a file.
    """
    files = {file.taxonomy.name: file for file in loaded}
    lines = [
        f"{_place(files.get(found.taxonomy), found)}: when.{found.requires}: {found.message}"
        for found in conditions.problems(together)
    ]
    if lines:
        raise TaxonomyError("\n".join(lines))


def _place(file: TaxonomyFile | None, found: conditions.ConditionProblem) -> str:
    return f"{file.path}:{_line(file.document, found)}" if file else found.taxonomy


def _line(document: Document, found: conditions.ConditionProblem) -> int:
    listed = isinstance(document.value["when"], list)
    return document.line(("when", *([found.alternative] if listed else []), found.requires))
