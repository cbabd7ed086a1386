"""Which keys a review offers, and how they are laid out."""

from __future__ import annotations

from worker.cli.review_session import Labels, _rows


def test_every_label_of_the_shipped_taxonomies_has_a_key() -> None:
    """36 labels need capitals, too; keys with a meaning of their own name no label."""
    keys = Labels(taxonomy="subject", titles=[(f"label-{n}", "") for n in range(36)]).keys("label-0")
    assert (35, set()) == (len(keys), set(keys) & set("0ynubq"))


def test_a_key_stays_beside_its_label() -> None:
    """Rows are broken between labels only; a label that is wider than the terminal has its own row."""
    assert ["y yes  n no", "1 a dog", "2 a very long one", "q quit"] == list(
        _rows(["y yes", "n no", "1 a dog", "2 a very long one", "q quit"], 12)
    )
