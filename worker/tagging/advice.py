"""Advice on a taxonomy: what is allowed but probably a mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np

from worker.label_names import normalised
from worker.suggestions import shown
from worker.tagging.exact_similarity import exact_rows, similarities
from worker.tagging.matrix import NONE, Choice, EncodeTexts, LabelMatrix, build_label_matrix, encoded
from worker.tagging.taxonomy import Label, Taxonomy

#: Words that hardly change a text's vector.
_SMALL = frozenset(("a", "an", "the", "of", "in", "on", "at", "with", "and", "or", "some"))

#: Ideographs and syllables of writing without spaces, else words, else signs.
_TOKENS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+?(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\b)|[^\w\s]"
)
#: Tokens that every model reads, besides the two that it adds itself.
_FEWEST_READ = 62

#: Returns which texts are truncated, and how many tokens they have.
Cut: TypeAlias = Callable[[Sequence[str]], Mapping[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A suggestion."""

    taxonomy: str
    label: str | None
    message: str


def advice(taxonomy: Taxonomy, model: str) -> list[Advice]:
    """Advice that needs no model: missing calibration, prompts that say the same, names that mean two labels.

    Of a vocabulary there is nothing to say: its labels do not compete.
    """
    if not taxonomy.decides:
        return []
    found = [*_duplicates(taxonomy), *_ambiguous(taxonomy)]
    if not taxonomy.is_calibrated_for(model):
        message = (
            f"not calibrated for {model}: its tags are unproven; look at some, then give it numbers under 'models:'"
        )
        found.insert(0, Advice(taxonomy=taxonomy.name, label=None, message=message))
    return found


def confusions(taxonomy: Taxonomy, encode_texts: EncodeTexts, *, model: str) -> list[Advice]:
    """Prompts at least as near to another label or the background as to their own label, for the model.

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
                found.append(Advice(taxonomy=taxonomy.name, label=name, message=f"{shown(text)} {rival}"))
    return found


def cut_prompts(taxonomy: Taxonomy, cut: Cut, *, model: str) -> list[Advice]:
    """Prompts that the model truncates.

    Args:
        taxonomy: whose prompts, in their templates.
        cut: tells which texts have more tokens than the model reads, and how many.
        model: which model that is.
    """
    owners: dict[str, str | None] = {}
    for label, _ in taxonomy.walk():
        others = (*taxonomy.negative_texts(label, model), *taxonomy.background_texts(label, model))
        for text in (*taxonomy.label_texts(label, model), *chain(*others)):
            owners.setdefault(text, label.name)
    for text in chain(*taxonomy.background_texts(model=model)):
        owners.setdefault(text, None)
    return [
        Advice(
            taxonomy=taxonomy.name,
            label=owners[text],
            message=f"{shown(text)} has {tokens} tokens, more than {model} reads: the rest is ignored; shorten it",
        )
        for text, tokens in cut(list(owners)).items()
    ]


def _nearest_rival(matrix: LabelMatrix, label: int, vector: np.ndarray) -> str | None:
    """The message about a text that is at least as near to another candidate as to its own label."""
    choice = next(choice for choice in matrix.choices if label in choice.labels)
    cosines = similarities(exact_rows(matrix.rows[choice.rows]), vector[np.newaxis])[:, 0]
    candidates = np.maximum.reduceat(cosines, choice.starts)
    own = choice.labels.tolist().index(label)
    cosines_of_others = np.delete(candidates, own)
    if not len(cosines_of_others) or cosines_of_others.max() < candidates[own]:
        return None
    best = int(cosines_of_others.argmax())
    best += best >= own
    rival = _rival(matrix, choice, best)
    if rival is None:
        return None
    if candidates[best] == candidates[own]:
        return f"is exactly as near to {rival} as to its own label: in a tie, neither is given"
    return f"is nearer to {rival} than to its own label"


def _rival(matrix: LabelMatrix, choice: Choice, place: int) -> str | None:
    """The name of a candidate; None for a label without competitors."""
    if place < len(choice.labels):
        by_itself = choice.parent == NONE and matrix.taxonomy.mode == "multi-label"
        return None if by_itself else repr(matrix.labels[choice.labels[place]])
    return "the background" if choice.background and place == len(choice.starts) - 1 else "what a label is not"


def long_prompts(taxonomy: Taxonomy) -> Iterator[Advice]:
    """Prompts that a model probably truncates.

    By what can be counted without it: every word is a token at least, and so is every ideograph. ``cut_prompts`` knows.
    """
    for label, prompt in _prompts(taxonomy):
        tokens = len(_TOKENS.findall(prompt))
        if tokens > _FEWEST_READ:
            message = (
                f"{shown(prompt)} has {tokens} tokens or more: SigLIP reads 64 and CLIP 77, and the rest is ignored; "
                "--with-model counts"
            )
            yield Advice(taxonomy=taxonomy.name, label=label, message=message)


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
