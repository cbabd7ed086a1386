"""Ways to get a taxonomy file wrong, and the answer to each."""

from __future__ import annotations

VALID = """\
name: mood
labels:
  happy: [a smile]
  sad: [a tear]
"""

# Content, and the complete message.
REFUSED: dict[str, tuple[str, str]] = {
    "unknown field": (
        VALID + "threshhold: 0.4\n",
        (
            "FILE:5: threshhold: unknown field; did you mean 'threshold'?; the fields here are aggregate, background, "
            "description, labels, margin, mode, models, name, target_precision, temperature, templates, threshold, "
            "title, translations, vocabulary, when"
        ),
    ),
    "unknown label field": (
        "name: a\nlabels:\n  b: [c]\n  d:\n    prompts: [e]\n    alias: [f]\n",
        (
            "FILE:6: labels.d.alias: unknown field; did you mean 'aliases'?; "
            "the fields here are aliases, background, children, description, learned, not, prompts, threshold, title, "
            "translations"
        ),
    ),
    "unknown calibration field": (
        VALID + "models:\n  starter:\n    treshold: 0.4\n",
        (
            "FILE:7: models.starter.treshold: unknown field; did you mean 'threshold'?; "
            "the fields here are languages, margin, temperature, templates, threshold, thresholds, unknown"
        ),
    ),
    "mistyped starter": (
        VALID + "models:\n  startr: {threshold: 0.4}\n",
        "FILE:6: models.startr: no model is called 'startr'; did you mean 'starter'?",
    ),
    "impossible model": (
        VALID + "models:\n  a/b/c: {threshold: 0.4}\n",
        (
            "FILE:6: models.a/b/c: 'a/b/c' does not fit: starter, a hub id such as openai/clip-vit-base-patch32, "
            "or the name of a model directory"
        ),
    ),
    "missing field": (
        "title: Mood\nlabels: {a: [b], c: [d]}\n",
        (
            "FILE:1: the field 'name' is missing: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy"
        ),
    ),
    "bad name": (
        VALID.replace("mood", "My Mood"),
        (
            "FILE:1: name: 'My Mood' does not fit: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy"
        ),
    ),
    "bad choice": (
        VALID + "aggregate: sum\n",
        "FILE:5: aggregate: must be one of mean, max, not 'sum'",
    ),
    "mistyped choice": (
        VALID + "aggregate: Mean\n",
        "FILE:5: aggregate: must be one of mean, max, not 'Mean'; did you mean 'mean'?",
    ),
    "threshold too high": (VALID + "threshold: 40\n", "FILE:5: threshold: must be 1 or less, not 40"),
    "threshold not a number": (VALID + "threshold: 'high'\n", "FILE:5: threshold: must be a number, not 'high'"),
    "not finite": (VALID + "margin: .nan\n", "FILE:5: margin: .nan is not a finite number, or is too large"),
    "temperature zero": (VALID + "temperature: 0\n", "FILE:5: temperature: must be 0.001 or more, not 0"),
    "template without braces": (
        VALID + "templates:\n  - '{}'\n  - a photo of\n",
        (
            "FILE:7: templates[1]: 'a photo of' does not fit: a sentence with exactly one {} where the prompt goes "
            "and no other braces, such as: a photo of {}"
        ),
    ),
    "template with a name in braces": (
        VALID + "templates: ['a photo of {label}']\n",
        (
            "FILE:5: templates[0]: 'a photo of {label}' does not fit: a sentence with exactly one {} where the prompt "
            "goes and no other braces, such as: a photo of {}"
        ),
    ),
    "template that forgot its quotes": (
        VALID + "templates:\n  - {}\n",
        "FILE:6: templates[0]: must be text, not a map (key: value); put it in quotes",
    ),
    "prompt with a colon": (
        VALID.replace("[a tear]", "['a tear', blue: a mood]"),
        "FILE:4: labels.sad[1]: must be text, not a map (key: value); put it in quotes",
    ),
    "empty prompt": (VALID.replace("[a tear]", "[a tear, '  ']"), "FILE:4: labels.sad[1]: must not be empty"),
    "missing prompt": (
        VALID.replace("[a tear]", "\n    - a tear\n    -\n"),
        "FILE:6: labels.sad[1]: must be text, not nothing",
    ),
    "no prompts": (VALID.replace("[a tear]", "[]"), "FILE:4: labels.sad: must not be empty"),
    "label without value": (
        VALID.replace(" [a tear]", ""),
        "FILE:4: labels.sad: must be a list or a map (key: value), not nothing",
    ),
    "prompt read as boolean": (
        VALID.replace("[a tear]", "[no]"),
        "FILE:4: labels.sad[0]: must be text, not false; put it in quotes",
    ),
    "prompt read as number": (
        VALID.replace("[a tear]", "[1984]"),
        "FILE:4: labels.sad[0]: must be text, not 1984; put it in quotes",
    ),
    "prompt read as date": (
        VALID.replace("[a tear]", "[2024-01-31]"),
        "FILE:4: labels.sad[0]: must be text, not 2024-01-31; put it in quotes",
    ),
    "Norway": (
        "name: country\nlabels:\n  se: [Sweden]\n  no: [Norway]\n",
        "FILE:4: labels.no: YAML reads the key 'no' as a boolean; put it in quotes: 'no'",
    ),
    "year as label": (
        "name: year\nlabels:\n  1984: [eighties]\n  now: [today]\n",
        "FILE:3: labels.1984: YAML reads the key '1984' as a number; put it in quotes: '1984'",
    ),
    "comma in label": (
        VALID.replace("sad:", "'sad, blue':"),
        (
            "FILE:4: labels.sad, blue: 'sad, blue' does not fit: 1 to 64 printable characters without comma or equals "
            "sign, and no space at either end"
        ),
    ),
    "line break in label": (
        VALID.replace("sad:", r'"sad\n":'),
        (
            r"FILE:4: labels.'sad\n': 'sad\n' does not fit: 1 to 64 printable characters without comma or equals "
            "sign, and no space at either end"
        ),
    ),
    "duplicate key": (
        VALID + "  happy: [a grin]\n",
        "FILE:5: labels.happy: the key 'happy' is already on line 3; keep one of them",
    ),
    "labels that look the same": (
        "name: page\nlabels:\n  blank page: [a]\n  Blank_Page: [b]\n",
        "FILE:4: labels.Blank_Page: the same label as 'blank page' on line 3, except for case or punctuation",
    ),
    "labels that look the same in another width": (
        "name: a\nlabels:\n  day: [b]\n  ＤＡＹ: [c]\n",
        "FILE:4: labels.ＤＡＹ: the same label as 'day' on line 3, except for case or punctuation",
    ),
    "two fields missing": (
        "title: Mood\n",
        (
            "FILE:1: the field 'name' is missing: lower-case letters, digits and single hyphens: "
            "what tags and filters call this taxonomy\n"
            "FILE:1: the field 'labels' is missing: the possible answers. Keys are the labels as they are stored; "
            "values are a list of prompts, or a map with prompts and what people see"
        ),
    ),
    "empty prompts of two labels": (
        "name: a\nlabels:\n  b: ['']\n  c: ['']\n",
        "FILE:3: labels.b[0]: must not be empty\nFILE:4: labels.c[0]: must not be empty",
    ),
    "one anchor twice": (
        "name: a\nlabels:\n  b: &x [c]\n  d: &x [e]\n",
        "FILE:3: the anchor &x is not allowed; remove it\nFILE:4: the anchor &x is not allowed; remove it",
    ),
    "alias of another label": (
        "name: a\nlabels:\n  day: {prompts: [b], aliases: [dawn]}\n  Dawn: [c]\n",
        "FILE:3: labels.day.aliases[0]: 'dawn' is a label itself, on line 4",
    ),
    "prompt of two labels": (
        VALID.replace("a tear", "a  smile"),
        "FILE:4: labels.sad[0]: 'a  smile' is a prompt of labels.happy, line 3, too: it cannot tell the two apart",
    ),
    "prompt of a label and the background": (
        VALID + "background: [a tear]\n",
        "FILE:5: background[0]: 'a tear' is a prompt of labels.sad, line 4, too: it cannot tell the two apart",
    ),
    "one label alone": (
        "name: a\nlabels: {b: [c]}\nmodels: {starter: {threshold: 0.5}}\n",
        (
            "FILE:2: labels: needs two labels, or one label and the taxonomy a 'background': alone, a label would fit "
            "every image with 'starter', which has numbers of its own"
        ),
    ),
    "tag": (
        VALID.replace("[a tear]", "!!python/object/apply:os.system [a tear]"),
        "FILE:4: labels.sad: the YAML tag !!python/object/apply:os.system is not allowed; taxonomies are plain data",
    ),
    "tag of its own": (
        VALID.replace("name: mood", "name: !secret mood"),
        "FILE:1: name: the YAML tag !secret is not allowed; taxonomies are plain data",
    ),
    "impossible number": (VALID + "margin: !!float much\n", "FILE:5: margin: 'much' is not a number"),
    "a list as key": (VALID + "? [a]\n: b\n", "FILE:5: a key must be text, not a list or a map"),
    "merge key": (
        VALID + "<<: {threshold: 1}\n",
        "FILE:5: <<: YAML reads the key '<<' as a merge key; put it in quotes: '<<'",
    ),
    "tab": (
        "name: mood\nlabels:\n\thappy: [a smile]\n",
        "FILE:3: a tab where YAML allows only spaces; indent and separate with spaces",
    ),
    "unclosed bracket": (
        "name: mood\nlabels: {happy: [a smile\n",
        "FILE:3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
    ),
    "two documents": (
        VALID + "---\n" + VALID,
        "FILE:5: not valid YAML: expected a single document in the stream, but found another document",
    ),
    "control character": (
        VALID + "title: a\x07b\n",
        "FILE:5: the character U+0007 is not allowed in YAML; remove it",
    ),
    "escaped control character": (
        VALID.replace("a tear", r'"a\0tear"'),
        "FILE:4: labels.sad[0]: the character U+0000 is not allowed in text; remove it",
    ),
    "half a surrogate pair": (
        VALID.replace("a tear", r'"a\uD83Dtear"'),
        "FILE:4: labels.sad[0]: the character U+D83D is not allowed in text; remove it",
    ),
    "escaped control character in a key": (
        VALID.replace("sad", r'"s\x1bd"'),
        "FILE:4: labels: the character U+001B is not allowed in text; remove it",
    ),
    "empty": (
        "# nothing yet\n",
        "FILE:1: the file is empty; docs/reference/taxonomies.md shows the smallest valid one",
    ),
    "a list": ("- a\n- b\n", "FILE:1: must be a map (key: value), not a list"),
    "text": ("mood", "FILE:1: must be a map (key: value), not 'mood'"),
    "null": ("null", "FILE:1: must be a map (key: value), not nothing"),
    "too deep": ("[" * 100_000, "FILE:1: not valid YAML: more than 20 levels deep"),
}
