"""A contact sheet: one HTML file to review many images in a browser, without a server.

Everything is in the file: pictures as data URIs, one style sheet, one script. It loads nothing and sends nothing; what
was decided is downloaded as JSON lines, which ``enrich decisions import`` reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.cli.pictures import image, text

if TYPE_CHECKING:
    from worker.pipeline.review.queues import QueueItem

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1c1e21;background:#fff}
header{position:sticky;top:0;background:#fff;border-bottom:1px solid #ccd0d5;padding:.6rem 1rem;z-index:1}
h1{font-size:1.1rem;margin:0} p{margin:.2rem 0} button{font:inherit;padding:.2rem .8rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem;padding:1rem}
figure{margin:0;padding:.3rem;border:3px solid #2e7d32;border-radius:.3rem;cursor:pointer;scroll-margin-top:8rem}
figure.no{border-color:#b3261e} figure.no img{opacity:.35} figure.unsure{border-color:#8a5a00;border-style:dashed}
figure:focus{outline:3px solid #4472b0} img{width:100%;height:10rem;object-fit:contain;display:block}
figcaption{font-size:.8em;overflow-wrap:anywhere} .answer{font-weight:600}
@media (prefers-color-scheme:dark){body,header{color:#e3e5e8;background:#17191c}}
"""
_SCRIPT = """
const {common, items} = JSON.parse(document.getElementById('data').textContent);
const figures = [...document.querySelectorAll('figure')], seen = new Set();
const answers = figures.map(() => 'yes');
const words = {yes: 'holds', no: 'does not hold', unsure: 'unsure'};
const wanted = () => [...answers.keys()].filter(i =>
  seen.has(i) && !(answers[i] === 'no' && !document.getElementById('reject').checked));
function show() {
  figures.forEach((figure, i) => {
    figure.className = answers[i];
    figure.querySelector('.answer').textContent = words[answers[i]];
    figure.setAttribute('aria-label', items[i].key + ': ' + words[answers[i]]);
  });
  const count = answer => answers.filter(each => each === answer).length;
  document.getElementById('state').textContent = count('yes') + ' hold, ' + count('no') + ' do not, ' +
    count('unsure') + ' unsure' + (seen.size < items.length ? '; ' + (items.length - seen.size) +
    ' not looked at yet: they are left out' : '');
  document.getElementById('download').textContent = 'Download ' + wanted().length + ' decisions';
}
function answer(i, given) { answers[i] = answers[i] === given ? 'yes' : given; show(); }
function move(i, by) { figures[Math.min(Math.max(i + by, 0), figures.length - 1)].focus(); }
function columns() { return getComputedStyle(document.querySelector('main')).gridTemplateColumns.split(' ').length; }
figures.forEach((figure, i) => {
  figure.addEventListener('click', () => { figure.focus(); answer(i, 'no'); });
  figure.addEventListener('keydown', event => {
    const keys = {' ': () => answer(i, 'no'), n: () => answer(i, 'no'), u: () => answer(i, 'unsure'),
      ArrowRight: () => move(i, 1), ArrowLeft: () => move(i, -1), ArrowDown: () => move(i, columns()),
      ArrowUp: () => move(i, -columns())};
    if (keys[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); keys[event.key](); }
  });
});
const watching = new IntersectionObserver(entries => {
  entries.filter(each => each.isIntersecting).forEach(each => seen.add(figures.indexOf(each.target)));
  show();
}, {threshold: 0.6});
figures.forEach(figure => watching.observe(figure));
document.getElementById('reject').addEventListener('change', show);
document.getElementById('download').addEventListener('click', () => {
  const verdicts = {yes: 'accept', no: 'reject', unsure: 'unsure'}, at = new Date().toISOString();
  const lines = wanted().map(i => {
    const label = answers[i] === 'unsure' ? {} : {label: items[i].shown_label};
    return JSON.stringify({...common, ...items[i], verdict: verdicts[answers[i]], ...label, at}) + '\\n';
  });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(lines, {type: 'application/x-ndjson'}));
  link.download = document.body.dataset.file;
  link.click();
});
show();
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """What a contact sheet shows."""

    taxonomy: str
    heading: str
    how: str  # how the images were chosen
    reviewer: str
    rejects: bool  # whether unselected images are recorded as rejected, unless the person says otherwise
    file: str  # name of the downloaded file


def page(sheet: Sheet, items: Sequence[QueueItem], pictures: Mapping[str, bytes | str]) -> str:
    """The sheet as HTML. All text is escaped.

    Args:
        sheet: what it says.
        items: at most a few hundred.
        pictures: BUCKET/KEY → the picture, or why there is none.
    """
    script = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    data = {"common": {"taxonomy": sheet.taxonomy, "reviewer": sheet.reviewer}, "items": [_row(each) for each in items]}
    figures = "".join(_figure(each, pictures.get(str(each.ref), "")) for each in items)
    checked = " checked" if sheet.rejects else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{text(sheet.heading)}</title><style>{_STYLE}</style></head>"
        f'<body data-file="{text(sheet.file)}"><header><h1>{text(sheet.heading)}</h1><p>{text(sheet.how)}</p>'
        "<p>Click what does not hold, or use the arrow keys, space and u (unsure). "
        f'<label><input type="checkbox" id="reject"{checked}> record these as rejected</label></p>'
        '<p><span id="state" role="status"></span> <button id="download"></button></p></header>'
        f'<main>{figures}</main><script type="application/json" id="data">{_json(data)}</script>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _figure(item: QueueItem, picture: bytes | str) -> str:
    chance = "" if item.probability is None else f" {item.probability:.2f}"
    return (
        f'<figure tabindex="0" role="button" title="{text(item.why)}">{image(picture)}<figcaption>'
        f'<span class="answer"></span>: {text(item.label)}{chance}<br>{text(str(item.ref))}</figcaption></figure>'
    )


def _row(item: QueueItem) -> dict[str, Any]:
    """What goes back with the decision."""
    row = {
        "bucket": item.ref.bucket, "key": item.ref.key, "sha256": item.sha256, "plan": item.plan,
        "chosen": item.chosen.value, "inclusion_probability": item.inclusion_probability, "shown_label": item.label,
        "shown_version": item.taxonomy_version, "shown_space": item.space, "shown_decision": item.seen.decision,
    }  # fmt: skip
    return {name: value for name, value in row.items() if value is not None}


def _json(value: object) -> str:
    """JSON that cannot end the element it is in."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
