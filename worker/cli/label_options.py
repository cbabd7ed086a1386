"""Options for labels that are given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worker.tagging.given_labels import GivenLabels

Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="LABEL", help="A label to choose from, such as 'a photo of a hen'; repeat it."),
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", metavar="TEXT", help="With --label: a sentence with {} for each label; repeat it."),
]
Background = Annotated[
    list[str] | None,
    typer.Option("--background", metavar="TEXT", help="With --label: what pictures show that none of the labels fits."),
]
Many = Annotated[bool, typer.Option("--many", help="With --label: a picture may have several of the labels, or none.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="P", min=0, max=1, help="With --label: least probability of a label [0; with --many 0.5].",
    ),
]  # fmt: skip
Margin = Annotated[
    float | None,
    typer.Option(metavar="P", min=0, max=1, help="With --label: least lead over the next label, in probability [0]."),
]


def given_labels(
    labels: Sequence[str] | None,
    *,
    templates: Sequence[str] | None,
    background: Sequence[str] | None,
    many: bool,
    threshold: float | None,
    margin: float | None,
) -> GivenLabels | None:
    """The labels of a command line; None if it has none.

    Raises:
        BadParameter: options for labels come without any.
    """
    from worker.tagging.given_labels import GivenLabel, GivenLabels

    if not labels:
        given = {
            "--template": bool(templates), "--background": bool(background), "--many": many,
            "--threshold": threshold is not None, "--margin": margin is not None,
        }  # fmt: skip
        alone = [name for name, is_given in given.items() if is_given]
        if alone:
            raise typer.BadParameter(f"{' and '.join(alone)}: only together with --label; taxonomies have their own")
        return None
    return GivenLabels(
        labels=tuple(GivenLabel(name=each) for each in labels),
        templates=tuple(templates or ()),
        background=tuple(background or ()),
        many=many,
        threshold=threshold,
        margin=margin or 0.0,
    )
