"""Tagging: taxonomies as data, and pure arithmetic that turns image vectors into tags or "none of these".

Knows nothing of models, stores or tables: a text encoder comes in as a function, vectors as arrays, tags go out as
values. ``docs/reference/taxonomies.md`` is the user's side of it.
"""

from __future__ import annotations

from worker.tagging.abstentions import Abstention, AbstentionCounts, abstentions
from worker.tagging.advice import Advice, advice, confusions, cut_prompts, long_prompts
from worker.tagging.conditions import decidable, in_order
from worker.tagging.decisions import Decisions, tags
from worker.tagging.definition_diff import edits
from worker.tagging.diff_counts import EXAMPLES, Example, HumanDecisions, Kind, Move, MoveCounts
from worker.tagging.explain import TaxonomyExplanation, explain
from worker.tagging.file_form import document
from worker.tagging.label_rows import LabelRow, label_rows, texts_of_labels
from worker.tagging.loading import (
    TaxonomyFile,
    check_conditions,
    load_files,
    load_taxonomies,
    load_taxonomy,
    parse_files,
    shipped_names,
)
from worker.tagging.matrix import EncodeTexts, LabelMatrix, build_label_matrices, build_label_matrix
from worker.tagging.reasons import REASONS, LabelReason
from worker.tagging.scoring import probabilities, score
from worker.tagging.serialization import definition, restore
from worker.tagging.tag_diff import Answers, StoredAnswers, TagDiff, Vocabulary, answers, tag_diff
from worker.tagging.tagger import Tagger, are_current
from worker.tagging.taxonomy import (
    Aggregate,
    Calibration,
    Label,
    LabelTranslation,
    Mode,
    Requirement,
    Taxonomy,
    Translation,
    Wording,
)

__all__ = [
    "EXAMPLES",
    "REASONS",
    "Abstention",
    "AbstentionCounts",
    "Advice",
    "Aggregate",
    "Answers",
    "Calibration",
    "Decisions",
    "EncodeTexts",
    "Example",
    "HumanDecisions",
    "Kind",
    "Label",
    "LabelMatrix",
    "LabelReason",
    "LabelRow",
    "LabelTranslation",
    "Mode",
    "Move",
    "MoveCounts",
    "Requirement",
    "StoredAnswers",
    "TagDiff",
    "Tagger",
    "Taxonomy",
    "TaxonomyExplanation",
    "TaxonomyFile",
    "Translation",
    "Vocabulary",
    "Wording",
    "abstentions",
    "advice",
    "answers",
    "are_current",
    "build_label_matrices",
    "build_label_matrix",
    "check_conditions",
    "confusions",
    "cut_prompts",
    "decidable",
    "definition",
    "document",
    "edits",
    "explain",
    "in_order",
    "label_rows",
    "load_files",
    "load_taxonomies",
    "load_taxonomy",
    "long_prompts",
    "parse_files",
    "probabilities",
    "restore",
    "score",
    "shipped_names",
    "tag_diff",
    "tags",
    "texts_of_labels",
]
