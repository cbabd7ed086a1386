"""Errors in a taxonomy document that a schema cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.label_names import normalised
from worker.tagging.messages import Finding, did_you_mean, dotted, shown
from worker.tagging.taxonomy import ABSTENTION, MAX_LEVELS
from worker.tagging.yaml_lines import Document, Path

#: Most texts a taxonomy may ask a model to encode: minutes on two cores.
MAX_TEXTS = 100_000

#: Most labels of a taxonomy, all levels together.
MAX_LABELS = 10_000

#: Fields of a model's numbers: with any of them, a taxonomy is calibrated for it.
CALIBRATION = frozenset(("threshold", "margin", "temperature", "thresholds"))

_DECIDING = frozenset(("labels", "mode", "when", "background", "threshold", "margin", "temperature", "translations"))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """A label of the document, at any level."""

    path: Path
    name: str
    value: Any  # as the document has it, right or wrong
    level: int  # 1 at the top


def content_findings(document: Document) -> Iterator[Finding]:
    """Checks all parts of the right shape, so that these problems are reported together with those of the schema."""
    if not isinstance(document.value, dict):
        return
    value = document.value
    if "vocabulary" in value:
        yield from _beside_words(value)
        return
    entries = list(_entries(_map(value, "labels"), ("labels",), 1))
    yield from _equal_names(entries, document)
    yield from _shared_prompts(value, entries, document)
    yield from _misplaced(value, entries)
    yield from _undecidable(value, entries)
    yield from _only_learned(entries)
    yield from _models(value, entries)
    yield from _too_many(value, entries)


def _entries(labels: dict[str, Any], path: Path, level: int) -> Iterator[_Entry]:
    for name, label in labels.items():
        here = (*path, name)
        yield _Entry(path=here, name=name, value=label, level=level)
        yield from _entries(_map(label, "children"), (*here, "children"), level + 1)


def _beside_words(value: dict[str, Any]) -> Iterator[Finding]:
    """Fields that affect decisions, in a taxonomy that decides nothing."""
    for name in value:
        if name in _DECIDING:
            yield (name,), "has no effect together with 'vocabulary', whose words are only searched and decide nothing"
    for model, own in _map(value, "models").items():
        for name in own if isinstance(own, dict) else ():
            if name != "templates":
                yield (
                    ("models", model, name),
                    "has no effect together with 'vocabulary', whose models have only 'templates'",
                )


# -- names -------------------------------------------------------------------------------------------------------------


def _equal_names(entries: list[_Entry], document: Document) -> Iterator[Finding]:
    """Labels that people would confuse, and aliases that are another label's name."""
    seen: dict[str, _Entry] = {}
    for entry in entries:
        first = seen.setdefault(normalised(entry.name), entry)
        if first is not entry:
            line = document.line(first.path)
            yield entry.path, f"the same label as {first.name!r} on line {line}, except for case or punctuation"
        if normalised(entry.name) == normalised(ABSTENTION):
            yield entry.path, f"the name '{ABSTENTION}' is taken: it is what conditions call an abstention"
    for entry in entries:
        for place, alias in enumerate(_texts(entry.value, "aliases")):
            owner = seen.get(normalised(alias))
            if owner and owner.name != entry.name:
                line = document.line(owner.path)
                yield (*entry.path, "aliases", place), f"{shown(alias)} is a label itself, on line {line}"


# -- prompts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prompts:
    """Check a list of prompts; ``owner`` is what they stand for, because no text may stand for two."""

    path: Path
    texts: list[str]
    owner: Path
    language: str


def _shared_prompts(value: dict[str, Any], entries: list[_Entry], document: Document) -> Iterator[Finding]:
    owners: dict[tuple[str, str], Path] = {}
    for prompts in _prompt_lists(value, entries):
        for place, prompt in enumerate(prompts.texts):
            owner = owners.setdefault((prompts.language, " ".join(prompt.split())), prompts.owner)
            if prompt.strip() and owner != prompts.owner:
                other = f"{dotted(owner)}, line {document.line(owner)}"
                message = f"{shown(prompt)} is a prompt of {other}, too: it cannot tell the two apart"
                yield (*prompts.path, place), message
    yield from _contradictions(entries)


def _contradictions(entries: list[_Entry]) -> Iterator[Finding]:
    for entry in entries:
        own = {" ".join(prompt.split()) for prompt in _own_prompts(entry)}
        for place, prompt in enumerate(_texts(entry.value, "not")):
            if " ".join(prompt.split()) in own:
                yield (*entry.path, "not", place), f"{shown(prompt)} is a prompt of this label, too"


def _own_prompts(entry: _Entry) -> list[str]:
    return _only_texts(entry.value) if isinstance(entry.value, list) else _texts(entry.value, "prompts")


def _prompt_lists(value: dict[str, Any], entries: list[_Entry]) -> Iterator[_Prompts]:
    for entry in entries:
        path = entry.path if isinstance(entry.value, list) else (*entry.path, "prompts")
        yield _Prompts(path=path, texts=_own_prompts(entry), owner=entry.path, language="")
        yield from _background(entry.value, entry.path, "")
        for language, own in _map(entry.value, "translations").items():
            there = (*entry.path, "translations", language)
            texts = _texts(own, "prompts")
            yield _Prompts(path=(*there, "prompts"), texts=texts, owner=entry.path, language=language)
            yield from _background(own, there, language)
    yield from _background(value, (), "")
    for language, own in _map(value, "translations").items():
        yield from _background(own, ("translations", language), language)


def _background(value: Any, path: Path, language: str) -> Iterator[_Prompts]:
    there = (*path, "background")
    yield _Prompts(path=there, texts=_texts(value, "background"), owner=there, language=language)


# -- fields that need others -------------------------------------------------------------------------------------------


def _misplaced(value: dict[str, Any], entries: list[_Entry]) -> Iterator[Finding]:
    """Fields without effect in their place."""
    by_itself = value.get("mode") == "multi-label"
    for entry in entries:
        for path, own in [(entry.path, entry.value), *_translated(entry)]:
            if not isinstance(own, dict):
                continue
            if "not" in own and not (by_itself and entry.level == 1):
                yield (*path, "not"), "only labels at the top of a taxonomy with 'mode: multi-label' are decided by it"
            if "background" in own and not _map(entry.value, "children"):
                yield (*path, "background"), "has no effect without 'children'; the taxonomy's own is beside 'labels'"
        if _is_learned(entry):
            yield from _learned(entry)
        if entry.level == MAX_LEVELS + 1:
            yield entry.path, f"labels may be at most {MAX_LEVELS} levels deep"


def _is_learned(entry: _Entry) -> bool:
    return isinstance(entry.value, dict) and "learned" in entry.value


def _learned(entry: _Entry) -> Iterator[Finding]:
    for name in ("prompts", "children", "not"):
        if name in entry.value:
            yield (*entry.path, "learned"), f"leave it out: the label has '{name}', which heads learn from anyway"
            return
    if entry.level > 1:
        yield (*entry.path, "learned"), "only labels at the top can be learned without prompts"


def _translated(entry: _Entry) -> list[tuple[Path, Any]]:
    translations = _map(entry.value, "translations")
    return [((*entry.path, "translations", language), own) for language, own in translations.items()]


def _undecidable(value: dict[str, Any], entries: list[_Entry]) -> Iterator[Finding]:
    """Labels that would fit every image, for a model with numbers of its own, because they have no competitors."""
    models = _map(value, "models")
    model = next(
        (name for name, own in models.items() if isinstance(own, dict) and not CALIBRATION.isdisjoint(own)), ""
    )
    if not model:
        return
    alone = f"alone, a label would fit every image with {shown(model)}, which has numbers of its own"
    by_itself, background = value.get("mode") == "multi-label", _texts(value, "background")
    top = [entry for entry in entries if entry.level == 1 and not _is_learned(entry)]
    if len(top) == 1 and not (by_itself or background):
        yield ("labels",), f"needs two labels, or one label and the taxonomy a 'background': {alone}"
    for entry in entries:
        if entry.level == 1 and by_itself and not background and not _texts(entry.value, "not"):
            yield entry.path, f"needs 'not' prompts, or the taxonomy a 'background': {alone}"
        if len(_map(entry.value, "children")) == 1 and not _texts(entry.value, "background"):
            message = f"needs two labels, or one label and 'background' prompts beside 'children': {alone}"
            yield (*entry.path, "children"), message


def _only_learned(entries: list[_Entry]) -> Iterator[Finding]:
    top = [entry for entry in entries if entry.level == 1]
    if top and all(map(_is_learned, top)):
        yield ("labels",), "at least one label needs prompts: labels that are only learned start from its place"


# -- models ------------------------------------------------------------------------------------------------------------


def _models(value: dict[str, Any], entries: list[_Entry]) -> Iterator[Finding]:
    labels = [entry.name for entry in entries]
    translated = [value, *(entry.value for entry in entries)]
    languages = sorted({language for each in translated for language in _map(each, "translations")})
    for name, settings in _map(value, "models").items():
        path: Path = ("models", name)
        if name != "starter" and "/" not in name and did_you_mean(name, ["starter"]):
            yield path, f"no model is called {shown(name)}; did you mean 'starter'?"
        named: list[tuple[str, str | int, str]] = [
            ("thresholds", label, label) for label in _map(settings, "thresholds")
        ]
        named += [("unknown", number, label) for number, label in enumerate(_texts(settings, "unknown"))]
        for field, place, label in named:
            if label and label not in labels:
                yield (*path, field, place), f"no label is called {shown(label)}{did_you_mean(label, labels)}"
        for number, language in enumerate(_texts(settings, "languages")):
            if language and language not in languages:
                there = f"the languages here are {', '.join(languages)}" if languages else "there are none here"
                yield (*path, "languages", number), f"nothing is translated into {shown(language)}; {there}"


# -- size --------------------------------------------------------------------------------------------------------------


def _too_many(value: dict[str, Any], entries: list[_Entry]) -> Iterator[Finding]:
    if len(entries) > MAX_LABELS:
        yield ("labels",), f"{len(entries):,} labels, with those below them; at most {MAX_LABELS:,} are allowed"
    texts = _count(value, entries)
    if texts > MAX_TEXTS:
        yield (), f"{texts:,} texts to encode (prompts × templates); at most {MAX_TEXTS:,} are allowed"


def _count(value: dict[str, Any], entries: list[_Entry]) -> int:
    """Texts, with the model that has the most templates."""
    settings = _map(value, "models").values()
    own = max([1, len(_texts(value, "templates")), *(len(_texts(each, "templates")) for each in settings)])
    translations = _map(value, "translations")
    templates = {language: max(1, len(_texts(each, "templates"))) for language, each in translations.items()}
    lists = list(_prompt_lists(value, entries))
    total = sum(len(each.texts) * (templates.get(each.language, 1) if each.language else own) for each in lists)
    return total + sum(len(_texts(entry.value, "not")) for entry in entries) * own


# -- reading what may be anything --------------------------------------------------------------------------------------


def _map(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _texts(value: Any, key: str) -> list[str]:
    found = value.get(key) if isinstance(value, dict) else None
    return _only_texts(found) if isinstance(found, list) else []


def _only_texts(values: list[Any]) -> list[str]:
    # Placeholders keep every text at its index.
    return [value if isinstance(value, str) else "" for value in values]
