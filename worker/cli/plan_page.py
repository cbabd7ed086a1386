"""A plan as a self-contained HTML page with thumbnails: no scripts, no fonts, nothing that is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from worker.cli import abstentions, plan_report
from worker.cli.pictures import image, text

if TYPE_CHECKING:
    from worker.pipeline.taxonomies.plan import ChangedImage, LabelChange, Plan, PlannedChange, TaxonomyPlan

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1c1e21;background:#fff}
h2{margin:2rem 0 .5rem;font-size:1.15rem} code{font-family:ui-monospace,monospace;font-size:.9em}
table{border-collapse:collapse;margin:.5rem 0 1rem;width:100%} caption{text-align:left;font-weight:600}
th,td{padding:.2rem .7rem .2rem 0;text-align:left;border-bottom:1px solid #e3e5e8;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap} ul{margin:.2rem 0;padding-left:1.2rem}
.bar{display:flex;width:16rem;height:.9rem} .bar span{display:block;height:100%}
.stays{background:#4472b0}.goes{background:#d9a3a0}.comes{background:#4f9a62}
.shots{display:flex;flex-wrap:wrap;gap:.5rem} figure{margin:0;width:8rem} figure img{width:8rem;height:6rem;
object-fit:contain;display:block} figcaption{font-size:.75em;overflow-wrap:anywhere}
.added{color:#1d7a35}.removed{color:#b3261e}.changed,.words{color:#8a5a00}
@media (prefers-color-scheme:dark){body{background:#17191c;color:#e3e5e8}th,td{border-color:#33373d}
.added{color:#6fcf85}.removed{color:#ff8a80}.changed,.words{color:#e6b450}}
"""
_COLUMNS = ("before", "after", "unchanged", "added", "removed", "flipped here", "flipped away", "abstained")
#: Width of the bars, in thousandths.
_WIDTH = 1000
#: Pictures of one page: about 4 MB. Changes of most images come first.
_MOST_PICTURES = 300

#: BUCKET/KEY → a thumbnail, or why there is none.
_Pictures = Mapping[str, bytes | str]


def wanted(plan: Plan) -> dict[str, str]:
    """Which pictures the page shows: BUCKET/KEY → SHA-256, the changes of most images first."""
    changes = sorted((each for own in plan.taxonomies for each in own.changes), key=lambda each: -each.images.about)
    samples = [sample for each in changes for sample in each.samples]
    return {each.ref: each.sha256 for each in samples[:_MOST_PICTURES]}


def page(plan: Plan, pictures: _Pictures) -> str:
    """The plan as HTML. All text is escaped.

    Args:
        plan: what to show.
        pictures: of those that are ``wanted``; images without one are named only.
    """
    body = "".join(_body(plan, pictures))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>Plan of taxonomies</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _body(plan: Plan, pictures: _Pictures) -> Iterator[str]:
    yield "<h1>Plan of taxonomies</h1>"
    yield f"<p>{text(_heading(plan))}</p><p>{text(plan_report.basis(plan.sampling))}.</p>"
    yield f"<p><strong>{text(plan_report.summary(plan))}.</strong></p>"
    yield (
        '<p>Bars: <span class="stays">&emsp;</span> kept, <span class="goes">&emsp;</span> lost, '
        '<span class="comes">&emsp;</span> gained.</p>'
    )
    if missing := [each for each in pictures.values() if isinstance(each, str)]:
        yield f"<p>{len(missing):,} of {len(pictures):,} pictures are missing: {text(missing[0])}</p>"
    for each in plan.taxonomies:
        yield from _taxonomy(each, pictures)
    if plan.kept:
        yield f"<h2>Kept</h2><ul>{''.join(f'<li>{text(plan_report.kept(each))}</li>' for each in plan.kept)}</ul>"


def _heading(plan: Plan) -> str:
    now = f"Revision {plan.revision} is in force" if plan.revision else "No taxonomies are in force yet"
    return f"{now}; the model is {plan.model}." if plan.model else f"{now}; nothing has been embedded yet."


def _taxonomy(plan: TaxonomyPlan, pictures: _Pictures) -> Iterator[str]:
    yield f'<section><h2 class="{plan.edit.edit}">{text(plan_report.headline(plan.edit))}</h2>'
    if plan.edit.edits:
        yield f"<ul>{''.join(f'<li><code>{text(line)}</code></li>' for line in plan.edit.edits)}</ul>"
    for line in plan_report.cautions(plan.edit):
        yield f"<p>{text(line)}</p>"
    if plan.labels:
        yield from _labels(plan)
    if plan.changes:
        yield from _changes(plan.changes, pictures)
    if plan.abstentions:
        yield f"<p>{text(abstentions.sentence(plan.abstentions))}.</p>"
    if suggested := plan_report.suggestions(plan):
        yield f"<p>{text(suggested)}.</p>"
    if plan.hidden.seen:
        yield f"<p>{text(plan_report.hidden(plan))}.</p>"
    yield "</section>"


def _labels(plan: TaxonomyPlan) -> Iterator[str]:
    most = max(max(each.before.about, each.after.about) for each in plan.labels)
    heads = "".join(f'<th class="n">{name}</th>' for name in _COLUMNS)
    yield f"<table><caption>Labels</caption><tr><th>label</th>{heads}<th></th></tr>"
    for each in sorted(plan.labels, key=lambda label: -(label.before.about + label.after.about)):
        yield _label(each, most)
    none = (plan.abstentions_before, plan.abstentions_after)
    yield f"<tr><td>none of these</td>{_cells(abstentions.number(count) for count in none)}</tr></table>"


def _label(label: LabelChange, most: int) -> str:
    counts = (
        label.before,
        label.after,
        label.unchanged,
        label.added,
        label.removed,
        label.flipped_here,
        label.flipped_away,
        label.abstained,
    )
    widths = zip(("stays", "goes", "comes"), plan_report.bar(label, most, width=_WIDTH), strict=True)
    spans = "".join(f'<span class="{kind}" style="width:{width / 10:g}%"></span>' for kind, width in widths)
    numbers = _cells(abstentions.number(count) for count in counts)
    return f'<tr><td>{text(label.label)}</td>{numbers}<td><div class="bar">{spans}</div></td></tr>'


def _changes(changes: Iterable[PlannedChange], pictures: _Pictures) -> Iterator[str]:
    yield '<table><caption>Changes</caption><tr><th>change</th><th class="n">images</th><th>examples</th></tr>'
    for each in changes:
        examples = "".join(_example(sample, pictures.get(sample.ref)) for sample in each.samples)
        count = _cells([abstentions.number(each.images)])
        yield f'<tr><td>{text(plan_report.sentence(each))}</td>{count}<td><div class="shots">{examples}</div></td></tr>'
    yield "</table>"


def _example(sample: ChangedImage, picture: bytes | str | None) -> str:
    shown = image(picture) if isinstance(picture, bytes) else ""
    return f"<figure>{shown}<figcaption>{text(sample.ref)} {sample.probability:.2f}</figcaption></figure>"


def _cells(numbers: Iterable[str]) -> str:
    return "".join(f'<td class="n">{text(number)}</td>' for number in numbers)
