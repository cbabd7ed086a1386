"""A page with a few images of each label: one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from worker.cli import pictures
from worker.cli.pictures import text

if TYPE_CHECKING:
    from worker.pipeline.reading.sample import LabelSample, Sample
    from worker.settings import Settings

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1rem;color:#1c1e21;background:#fff}
h1{font-size:1.2rem} h2{font-size:1rem;margin:1.2rem 0 .3rem}
section div{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem}
figure{margin:0} img{width:100%;height:10rem;object-fit:contain;display:block}
figcaption{font-size:.8em;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){body{color:#e3e5e8;background:#17191c}}
"""


def page(settings: Settings, found: Sample) -> str:
    """The sample as HTML, with its pictures read from the store. All text is escaped."""
    wanted = {f"{image.bucket}/{image.key}": image.sha256 for each in found.labels for image in each.images}
    shown = pictures.thumbnails_of(settings, wanted)
    sections = "".join(_section(found.taxonomy, each, shown) for each in found.labels)
    heading = f"{text(found.taxonomy)}: images of each label, drawn at random"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{heading}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{heading}</h1><p>Seed {found.seed}.</p>{sections}</body></html>\n"
    )


def _section(taxonomy: str, each: LabelSample, shown: Mapping[str, bytes | str]) -> str:
    figures = []
    for image in each.images:
        name = f"{image.bucket}/{image.key}"
        chance = each.probability(image, taxonomy)
        shown_chance = "" if chance is None else f" {chance:.2f}"
        figures.append(
            f"<figure>{pictures.image(shown[name])}<figcaption>{text(name)}{shown_chance}</figcaption></figure>"
        )
    about = "" if each.exact else "about "
    label = "undecided" if each.label is None else each.label
    return f"<section><h2>{text(label)} ({about}{each.total:,} images)</h2><div>{''.join(figures)}</div></section>"
