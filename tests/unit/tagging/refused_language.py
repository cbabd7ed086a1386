"""Ways to get modes, levels, conditions, wording and translations wrong, and the answer to each."""

from __future__ import annotations

from tests.unit.tagging.refused_files import VALID

_MULTI = "name: things\nmode: multi-label\nbackground: [a wall]\nlabels:\n  cat: [a cat]\n  dog: [a dog]\n"

REFUSED: dict[str, tuple[str, str]] = {
    "unknown mode": (
        VALID + "mode: multilabel\n",
        "FILE:5: mode: must be one of exclusive, multi-label, not 'multilabel'; did you mean 'multi-label'?",
    ),
    "what a label is not, where labels compete": (
        VALID.replace("[a tear]", "{prompts: [a tear], not: [rain]}"),
        "FILE:4: labels.sad.not: only labels at the top of a taxonomy with 'mode: multi-label' are decided by it",
    ),
    "what a child is not": (
        _MULTI + "  bird:\n    prompts: [a bird]\n    children:\n      owl: {prompts: [an owl], not: [a hat]}\n"
        "      hen: [a hen]\n",
        (
            "FILE:10: labels.bird.children.owl.not: "
            "only labels at the top of a taxonomy with 'mode: multi-label' are decided by it"
        ),
    ),
    "nothing to decide a label against": (
        (
            "name: things\nmode: multi-label\nlabels:\n  cat: [a cat]\n  dog: {prompts: [a dog], not: [a wolf]}\n"
            "models: {starter: {margin: 0.1}}\n"
        ),
        (
            "FILE:4: labels.cat: needs 'not' prompts, or the taxonomy a 'background': alone, a label would fit every "
            "image with 'starter', which has numbers of its own"
        ),
    ),
    "a label that is its own opposite": (
        _MULTI.replace("[a dog]", "{prompts: [a dog], not: [a  dog]}"),
        "FILE:6: labels.dog.not[0]: 'a  dog' is a prompt of this label, too",
    ),
    "no prompts and no children": (
        VALID.replace("[a tear]", "{title: Sad}"),
        (
            "FILE:4: labels.sad: the field 'prompts' is missing: "
            "texts that describe a picture of this label; each is put into every template"
        ),
    ),
    "one child alone": (
        VALID.replace("[a tear]", "{prompts: [a tear], children: {blue: [the blues]}}")
        + "models: {starter: {temperature: 2}}\n",
        (
            "FILE:4: labels.sad.children: needs two labels, or one label and 'background' prompts beside 'children': "
            "alone, a label would fit every image with 'starter', which has numbers of its own"
        ),
    ),
    "background without children": (
        VALID.replace("[a tear]", "{prompts: [a tear], background: [rain]}"),
        "FILE:4: labels.sad.background: has no effect without 'children'; the taxonomy's own is beside 'labels'",
    ),
    "a child called like another label": (
        VALID.replace("[a tear]", "{children: {Happy: [a cry], blue: [the blues]}}"),
        "FILE:4: labels.sad.children.Happy: the same label as 'happy' on line 3, except for case or punctuation",
    ),
    "a prompt of parent and child": (
        VALID.replace("[a tear]", "{prompts: [a tear], children: {blue: [a tear], low: [a sigh]}}"),
        (
            "FILE:4: labels.sad.children.blue[0]: 'a tear' is a prompt of labels.sad, line 4, too: "
            "it cannot tell the two apart"
        ),
    ),
    "too many levels": (
        (
            "name: deep\nlabels:\n  other: [x]\n  a:\n    background: [z1]\n    children:\n      b:\n"
            "        background: [z2]\n        children:\n          c:\n            background: [z3]\n"
            "            children:\n              d:\n                background: [z4]\n                children:\n"
            "                  e:\n                    background: [z5]\n                    children:\n"
            "                      f: [y]\n"
        ),
        (
            "FILE:19: labels.a.children.b.children.c.children.d.children.e.children.f: "
            "labels may be at most 5 levels deep"
        ),
    ),
    "reserved name": (
        VALID.replace("sad", "None of these"),
        "FILE:4: labels.None of these: the name 'none of these' is taken: it is what conditions call an abstention",
    ),
    "threshold of a label too high": (
        VALID.replace("[a tear]", "{prompts: [a tear], threshold: 2}"),
        "FILE:4: labels.sad.threshold: must be 1 or less, not 2",
    ),
    "a model's threshold for no label": (
        VALID + "models:\n  starter:\n    thresholds: {hapy: 0.4}\n",
        "FILE:7: models.starter.thresholds.hapy: no label is called 'hapy'; did you mean 'happy'?",
    ),
    "an unknown label that is not one": (
        VALID + "models:\n  starter:\n    unknown: [hapy]\n",
        "FILE:7: models.starter.unknown[0]: no label is called 'hapy'; did you mean 'happy'?",
    ),
    "a model's template without braces": (
        VALID + "models:\n  starter:\n    templates: [a photo]\n",
        (
            "FILE:7: models.starter.templates[0]: 'a photo' does not fit: a sentence with exactly one {} where the "
            "prompt goes and no other braces, such as: a photo of {}"
        ),
    ),
    "a language nothing is translated into": (
        VALID + "translations: {de: {title: Laune}}\nmodels:\n  some/model: {languages: [de, fr]}\n",
        "FILE:7: models.some/model.languages[1]: nothing is translated into 'fr'; the languages here are de",
    ),
    "no language": (
        VALID + "translations:\n  German: {title: Laune}\n",
        "FILE:6: translations.German: 'German' does not fit: a language code such as de, fil or pt-BR",
    ),
    "a precision that nothing reaches": (
        VALID + "target_precision: 95\n",
        "FILE:5: target_precision: must be 0.999 or less, not 95",
    ),
    "a precision worse than a coin": (
        VALID + "target_precision: 0.3\n",
        "FILE:5: target_precision: must be 0.5 or more, not 0.3",
    ),
    "a learned label with prompts": (
        VALID.replace("[a tear]", "{prompts: [a tear], learned: true}"),
        "FILE:4: labels.sad.learned: leave it out: the label has 'prompts', which heads learn from anyway",
    ),
    "a learned label with children": (
        VALID.replace("[a tear]", "{learned: true, children: {blue: [the blues], low: [a sigh]}}"),
        "FILE:4: labels.sad.learned: leave it out: the label has 'children', which heads learn from anyway",
    ),
    "a learned child": (
        VALID.replace("[a tear]", "{prompts: [a tear], children: {blue: {learned: true}, low: [a sigh]}}"),
        "FILE:4: labels.sad.children.blue.learned: only labels at the top can be learned without prompts",
    ),
    "labels that are all learned": (
        "name: mood\nlabels:\n  happy: {learned: true}\n  sad: {learned: true}\n",
        "FILE:2: labels: at least one label needs prompts: labels that are only learned start from its place",
    ),
    "a label that is not learned after all": (
        VALID.replace("[a tear]", "{learned: false}"),
        "FILE:4: labels.sad.learned: must be true, not false; or leave it out",
    ),
    "one label beside a learned one": (
        VALID.replace("[a tear]", "{learned: true}") + "models: {starter: {margin: 0.1}}\n",
        (
            "FILE:2: labels: needs two labels, or one label and the taxonomy a 'background': alone, a label would fit "
            "every image with 'starter', which has numbers of its own"
        ),
    ),
    "empty condition": (VALID + "when: {}\n", "FILE:5: when: must not be empty"),
    "condition that is no map": (
        VALID + "when: subject\n",
        "FILE:5: when: must be a map (key: value) or a list, not 'subject'",
    ),
    "condition on no taxonomy's name": (
        VALID + "when: {Subject: document}\n",
        "FILE:5: when.Subject: 'Subject' does not fit: the name of another taxonomy",
    ),
}
