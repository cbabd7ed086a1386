"""An evaluation as a self-contained HTML page: no scripts, no fonts, and pictures as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from worker.cli import evaluation_text as say
from worker.cli.pictures import image, text
from worker.cli.reliability_diagram import diagram

if TYPE_CHECKING:
    from worker.pipeline.evaluation.report import (
        ConfusionCell,
        Evaluation,
        LabelReport,
        MethodReport,
        Picture,
        TaxonomyReport,
    )

#: Pairs of labels and wrong tags that are shown with pictures, and pictures of a pair.
_PAIRS, _OF_A_PAIR, _WORST = 6, 4, 12
#: Labels of a confusion matrix; with more, only pairs are listed.
_MATRIX = 16
_STYLE = """
:root{--bg:#fff;--fg:#1c1e21;--line:#e3e5e8;--soft:#f5f6f8;--dim:#5f6670;--bar:#4472b0;--band:#4472b055;--good:#1d7a35;
--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#17191c;--fg:#e3e5e8;--line:#33373d;--soft:#202327;--dim:#a0a7b0;
--bar:#7ea6e0;--band:#7ea6e055;--good:#6fcf85;--bad:#ff8a80}}
*{box-sizing:border-box} body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:1.5rem auto;padding:0 1rem;
color:var(--fg);background:var(--bg)} h1{font-size:1.5rem;margin:.5rem 0} h2{font-size:1.2rem;margin:2.5rem 0 .3rem;
border-top:1px solid var(--line);padding-top:1rem} h3{font-size:1rem;margin:1.5rem 0 .4rem}
.dim,small{color:var(--dim)} ul.how{margin:.3rem 0;padding-left:1.2rem} .scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.3rem 0} th,td{padding:.25rem .9rem .25rem 0;text-align:left;
border-bottom:1px solid var(--line);vertical-align:top} th{font-weight:600;white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.big{display:flex;flex-wrap:wrap;gap:.6rem 2.5rem;margin:.8rem 0} .big b{font-size:1.7rem;line-height:1.2;display:block}
.two{display:flex;flex-wrap:wrap;gap:0 3rem}
.two>*{min-width:0;max-width:100%} td.right{background:color-mix(in srgb,var(--good) 22%,transparent)}
td.wrong{background:color-mix(in srgb,var(--bad) 22%,transparent)} .matrix td,.matrix th{padding:.25rem .6rem}
.matrix td.n{min-width:3rem} figure{margin:0;width:9rem}
.grid{display:flex;flex-wrap:wrap;gap:.7rem;margin:.4rem 0 1rem}
figure img{width:100%;height:7rem;object-fit:contain;background:var(--soft);display:block}
figcaption{font-size:.8em;overflow-wrap:anywhere} figure p{margin:0;height:7rem;background:var(--soft);padding:.5rem;
font-size:.75em;overflow:hidden} svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}
"""


def pictures(found: Evaluation, *, most: int) -> list[Picture]:
    """The images that the page shows, each once: of taxonomies with many, fewer each."""
    shown: dict[tuple[str, str], Picture] = {}
    each_most = max(most // max(len(found.taxonomies), 1), 4)
    for taxonomy in found.taxonomies:
        for picture in list(_pictures(taxonomy))[:each_most]:
            shown.setdefault((picture.bucket, picture.key), picture)
    return list(shown.values())


def page(found: Evaluation, shown: Mapping[str, bytes | str]) -> str:
    """The evaluation as HTML. All text is escaped.

    Args:
        found: what was measured.
        shown: BUCKET/KEY → the picture, or why there is none.
    """
    body = "".join(_body(found, shown))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Evaluation of tags</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _body(found: Evaluation, shown: Mapping[str, bytes | str]) -> Iterator[str]:
    yield f"<h1>Evaluation of tags</h1><p>{text(say.heading(found))}</p>"
    if found.file is not None:
        yield f"<p>{text(say.of_file(found.file))}</p>"
        if found.file.examples:
            rows = "".join(f"<li>line {each.line}: {text(each.message)}</li>" for each in found.file.examples)
            yield f"<details><summary>Rows that were left out</summary><ul>{rows}</ul></details>"
    for each in found.taxonomies:
        yield from _taxonomy(each, found, shown)


def _taxonomy(found: TaxonomyReport, whole: Evaluation, shown: Mapping[str, bytes | str]) -> Iterator[str]:
    yield (
        f"<section><h2>{text(found.taxonomy)}</h2><p class='dim'>version {text(found.version)}, space {found.space} "
        f"({text(found.model)}), {text(found.method)}</p>"
    )
    sentences = [*say.how(found, whole.file), *([found.note] if found.note else []), say.with_duplicates(found)]
    yield f"<ul class='how'>{''.join(f'<li>{text(each)}</li>' for each in sentences if each)}</ul>"
    if found.drawn:
        yield from _totals(found)
        yield from _labels(found)
        yield from _methods(found.methods)
        yield "<div class='two'>"
        yield from _reliability(found)
        yield from _matrix(found)
        yield "</div>"
        yield from _pairs(found, shown)
    yield from _worst(found, shown)
    yield "</section>"


def _totals(found: TaxonomyReport) -> Iterator[str]:
    if found.coverage is None or found.accuracy is None:
        return
    yield "<div class='big'>"
    for name, share in (("have a tag (coverage)", found.coverage), ("of these are right (accuracy)", found.accuracy)):
        yield (
            f"<div><b>{say.percent(share)}</b>{name}<br><small>{say.counts(share)}; 95 %: {say.interval(share)}"
            "</small></div>"
        )
    yield "</div>"


def _labels(found: TaxonomyReport) -> Iterator[str]:
    yield "<h3>Labels</h3><div class='scroll'><table><tr><th>label</th>"
    yield _heads("right", "precision", "95 %", "silent", "recall", "threshold")
    yield "</tr>"
    for each in found.labels:
        yield _label(each)
    yield "</table></div>"
    yield "<p class='dim'>Silent: images that have the label according to people, and no tag.</p>"
    if all(each.recall is None for each in found.labels):
        yield "<p class='dim'>Recall is not known: that needs images drawn from all.</p>"


def _label(label: LabelReport) -> str:
    name = text(label.label) + (" <small>suggested only</small>" if label.suggested else "")
    cells = (
        say.counts(label.precision),
        say.percent(label.precision),
        say.interval(label.precision),
        say.counts(label.silence),
        say.recall(label.recall),
        "–" if label.threshold is None else f"{label.threshold:g}",
    )
    return f"<tr><td>{name}</td>{_cells(cells)}</tr>"


def _methods(methods: Sequence[MethodReport]) -> Iterator[str]:
    if len(methods) < 2:  # noqa: PLR2004
        return
    yield "<h3>Methods on the same images</h3><div class='scroll'><table><tr><th>method</th>"
    yield _heads("coverage", "accuracy", "errors", "won : lost", "p")
    yield "</tr>"
    for each in methods:
        note = f"<br><small>{text(each.note)}</small>" if each.note else ""
        cells = (
            f"{say.percent(each.coverage)} ({say.counts(each.coverage)})",
            f"{say.percent(each.accuracy)} ({say.counts(each.accuracy)})",
            say.percent(each.error),
            say.result(each),
            "" if each.against_first is None else say.chance(each.against_first.better),
        )
        yield f"<tr><td>{text(each.method)}, space {each.space} ({text(each.model)}){note}</td>{_cells(cells)}</tr>"
    yield "</table></div><p class='dim'>Won: right, where the first is not. p: one-sided exact sign test.</p>"


def _reliability(found: TaxonomyReport) -> Iterator[str]:
    if not found.reliability:
        return
    error = "" if found.calibration_error is None else f" Mean difference: {found.calibration_error:.3f}."
    yield f"<div><h3>Do probabilities mean what they say?</h3>{diagram(found.reliability)}"
    yield f"<p class='dim'>Bars: 95 % intervals. On the line: as sure as right.{error}</p>"
    yield f"<table><tr><th>probability</th>{_heads('mean', 'right', '', '95 %')}</tr>"
    for each in found.reliability:
        cells = (f"{each.mean:.2f}", say.counts(each.right), say.percent(each.right), say.interval(each.right))
        yield f"<tr><td>{each.low:g}–{each.high:g}</td>{_cells(cells)}</tr>"
    yield "</table></div>"


def _matrix(found: TaxonomyReport) -> Iterator[str]:
    true = _names(each.true for each in found.confusion)
    given = _names(each.given for each in found.confusion)
    if not found.confusion or max(len(true), len(given)) > _MATRIX:
        return
    counts = {(each.true, each.given): each.images for each in found.confusion}
    yield "<div><h3>What is taken for what</h3><div class='scroll'><table class='matrix'><tr><th>people ↓ tag →</th>"
    yield _heads(*(text(each or say.NO_TAG) for each in given))
    yield "</tr>"
    for row in true:
        cells = "".join(_matrix_cell(row, column, counts.get((row, column), 0)) for column in given)
        yield f"<tr><th>{text(row or say.NONE)}</th>{cells}</tr>"
    yield "</table></div></div>"


def _matrix_cell(true: str | None, given: str | None, count: int) -> str:
    kind = " right" if count and true == given else " wrong" if count and given is not None else ""
    return f"<td class='n{kind}'>{f'{count:,}' if count else ''}</td>"


def _names(names: Iterable[str | None]) -> list[str | None]:
    """Each once, none of them last."""
    return sorted(set(names), key=lambda each: (each is None, each or ""))


def _pairs(found: TaxonomyReport, shown: Mapping[str, bytes | str]) -> Iterator[str]:
    for each in _confused(found):
        yield f"<h3>{text(each.true or say.NONE)} → {text(each.given or say.NO_TAG)}: {each.images:,}</h3>"
        yield "<div class='grid'>"
        for picture in each.examples[:_OF_A_PAIR]:
            yield _figure(picture, shown, "")
        yield "</div>"


def _worst(found: TaxonomyReport, shown: Mapping[str, bytes | str]) -> Iterator[str]:
    if not found.worst:
        return
    yield "<h3>Surest wrong tags</h3><p class='dim'>Of all decided images, however they were chosen.</p>"
    yield "<div class='grid'>"
    for each in found.worst[:_WORST]:
        people = each.true or say.NONE
        yield _figure(
            each.picture, shown, f"<b>{text(each.given)} {each.probability:.2f}</b>, people: {text(people)}<br>"
        )
    yield "</div>"


def _figure(picture: Picture, shown: Mapping[str, bytes | str], caption: str) -> str:
    name = f"{picture.bucket}/{picture.key}"
    made = image(shown[name]) if name in shown else "<p>no picture: the page has its limit</p>"
    return f"<figure>{made}<figcaption>{caption}{text(name)}</figcaption></figure>"


def _confused(found: TaxonomyReport) -> list[ConfusionCell]:
    return [each for each in found.confusion if each.true != each.given][:_PAIRS]


def _pictures(found: TaxonomyReport) -> Iterator[Picture]:
    for wrong in found.worst[:_WORST]:
        yield wrong.picture
    for each in _confused(found):
        yield from each.examples[:_OF_A_PAIR]


def _heads(*names: str) -> str:
    return "".join(f"<th class='n'>{name}</th>" for name in names)


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td class='n'>{text(value)}</td>" for value in values)
