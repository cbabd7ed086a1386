"""What is allowed in a taxonomy and probably not meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.label_names import normalised
from worker.tagging.matrix import NONE, EncodeTexts, LabelMatrix, build_label_matrix, encoded
from worker.tagging.products import exact_rows, similarities
from worker.tagging.taxonomy import Label, Taxonomy

#: Words that hardly move a text's vector.
_SMALL = frozenset(("a", "an", "the", "of", "in", "on", "at", "with", "and", "or", "some"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """Something to look at."""

    taxonomy: str
    label: str | None
    message: str


def advice(taxonomy: Taxonomy, model: str) -> list[Advice]:
    """What can be said without the model: no numbers for it, prompts that say the same, words that mean two labels.

    Of a vocabulary there is nothing to say: its labels do not compete.
    """
    if not taxonomy.decides:
        return []
    found = list(_duplicates(taxonomy)) + list(_ambiguous(taxonomy))
    if not taxonomy.is_calibrated_for(model):
        message = f"never calibrated for {model}: general thresholds are used; give it its own under 'models:'"
        found.insert(0, Advice(taxonomy=taxonomy.name, label=None, message=message))
    return found


def confusions(taxonomy: Taxonomy, encode_texts: EncodeTexts, *, model: str) -> list[Advice]:
    """Prompts that the model finds nearer to another label, or to the background, than to their own label.

    Compared are labels that compete: brothers and sisters. Raises what ``build_label_matrix`` raises.
    """
    if not taxonomy.decides:
        return []
    matrix = build_label_matrix(taxonomy, encode_texts, model=model)
    labels = {label.name: label for label, _ in taxonomy.walk()}
    texts = sorted({text for label in labels.values() for text in taxonomy.label_texts(label, model)})
    vectors = encoded(texts, encode_texts) if texts else {}
    found: list[Advice] = []
    for place, name in enumerate(matrix.labels):
        for text in taxonomy.label_texts(labels[name], model):
            rival = _nearest_rival(matrix, place, vectors[text])
            if rival is not None:
                message = f"{text!r} is nearer to {rival} than to its own label"
                found.append(Advice(taxonomy=taxonomy.name, label=name, message=message))
    return found


def _nearest_rival(matrix: LabelMatrix, label: int, vector: np.ndarray) -> str | None:
    choice = next(choice for choice in matrix.choices if label in choice.labels)
    cosines = similarities(exact_rows(matrix.rows[choice.rows]), vector[np.newaxis])[:, 0]
    candidates = np.maximum.reduceat(cosines, choice.starts)
    own = choice.labels.tolist().index(label)
    best = int(candidates.argmax())
    if best == own or candidates[best] == candidates[own]:
        return None
    if best < len(choice.labels):
        by_itself = choice.parent == NONE and matrix.taxonomy.mode == "multi-label"
        return None if by_itself else repr(matrix.labels[choice.labels[best]])
    return "the background" if choice.background and best == len(candidates) - 1 else "what a label is not"


def _duplicates(taxonomy: Taxonomy) -> Iterator[Advice]:
    owners: dict[frozenset[str], tuple[str, str | None]] = {}
    for label, prompt in _prompts(taxonomy):
        words = frozenset(re.findall(r"\w+", prompt.casefold())) - _SMALL
        first, owner = owners.setdefault(words, (prompt, label))
        if words and owner != label:
            whose = "the background" if owner is None else repr(owner)
            message = f"{prompt!r} says nearly the same as {first!r} of {whose}: it hardly tells the two apart"
            yield Advice(taxonomy=taxonomy.name, label=label, message=message)


def _prompts(taxonomy: Taxonomy) -> Iterator[tuple[str | None, str]]:
    for label, _ in taxonomy.walk():
        yield from ((label.name, prompt) for prompt in label.prompts)
    yield from ((None, prompt) for prompt in taxonomy.background)


def _ambiguous(taxonomy: Taxonomy) -> Iterator[Advice]:
    owners: dict[str, str] = {}
    for label, _ in taxonomy.walk():
        for word in dict.fromkeys(map(normalised, _words(label))):
            owner = owners.setdefault(word, label.name)
            if owner != label.name:
                message = f"{word!r} also means {owner!r}: searches by it find neither"
                yield Advice(taxonomy=taxonomy.name, label=label.name, message=message)


def _words(label: Label) -> Sequence[str]:
    translated = [word for own in label.translations.values() for word in (own.title, *own.aliases)]
    return [word for word in (label.title, *label.aliases, *translated) if word]
