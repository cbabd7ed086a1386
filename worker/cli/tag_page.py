"""Tagged local files as a page: one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.cli.pictures import image, text

if TYPE_CHECKING:
    from pathlib import Path

    from worker.images import ImageLimits
    from worker.pipeline.enrichment.local_files import RefusedFile, TaggedFile

#: Pictures of one page: about 25 MB. Further files are named only.
MOST_PICTURES = 2_000

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1rem;color:#1c1e21;background:#fff}
h1{font-size:1.2rem} h2{font-size:1rem;margin:1.2rem 0 .3rem} ul{padding-left:1.2rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:.8rem}
figure{margin:0} img{width:100%;height:10rem;object-fit:contain;display:block}
figcaption{font-size:.8em;overflow-wrap:anywhere} figcaption b{display:block;font-weight:600}
.none{color:#6b7178} .bad{color:#b3261e;overflow-wrap:anywhere}
@media (prefers-color-scheme:dark){body{color:#e3e5e8;background:#17191c}.none{color:#9aa1a9}.bad{color:#ff8a80}}
"""


@dataclass(slots=True)
class TagPage:
    """Collects results while they are printed."""

    limits: ImageLimits
    _figures: list[str] = field(default_factory=list)
    _refused: list[str] = field(default_factory=list)
    _labels: dict[str, Counter[str]] = field(default_factory=dict)

    def collected(self, results: Iterable[TaggedFile | RefusedFile]) -> Iterator[TaggedFile | RefusedFile]:
        """The same results, each noted for the page when it is asked for."""
        from worker.pipeline.enrichment.local_files import RefusedFile

        for result in results:
            if isinstance(result, RefusedFile):
                self._refused.append(f"{_name(result.path)}: {result.message}")
            else:
                self._add(result)
            yield result

    @property
    def files(self) -> int:
        """How many have been noted."""
        return len(self._figures) + len(self._refused)

    def html(self) -> str:
        """The page. All text is escaped."""
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        heading = "1 tagged file" if len(self._figures) == 1 else f"{len(self._figures):,} tagged files"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f"<title>{heading}</title><style>{_STYLE}</style></head><body><h1>{heading}</h1>"
            f"{self._summary()}{self._bad_files()}<main>{''.join(self._figures)}</main></body></html>\n"
        )

    def _add(self, result: TaggedFile) -> None:
        lines = []
        for taxonomy in dict.fromkeys(tag.taxonomy for tag in result.tags):
            own = [tag for tag in result.tags if tag.taxonomy == taxonomy]
            self._labels.setdefault(taxonomy, Counter()).update(tag.label or "none of these" for tag in own)
            labels = ", ".join(f"{tag.label} {tag.probability:.0%}" for tag in own if tag.label is not None)
            lines.append((taxonomy, labels))
        has_room = len(self._figures) < MOST_PICTURES
        shown = image(_thumbnail(result.path, self.limits)) if has_room else ""
        self._figures.append(
            f"<figure>{shown}<figcaption><b>{text(_name(result.path))}</b>{_tags(lines)}</figcaption></figure>"
        )

    def _summary(self) -> str:
        rows = (f"<li>{text(taxonomy)}: {text(_counts(counts))}</li>" for taxonomy, counts in self._labels.items())
        left_out = len(self._figures) - MOST_PICTURES
        note = f"<p>Only the first {MOST_PICTURES:,} files are shown with pictures.</p>" if left_out > 0 else ""
        return f"<ul>{''.join(rows)}</ul>{note}"

    def _bad_files(self) -> str:
        if not self._refused:
            return ""
        rows = "".join(f'<li class="bad">{text(each)}</li>' for each in self._refused)
        several = "1 file was" if len(self._refused) == 1 else f"{len(self._refused):,} files were"
        return f"<h2>{several} not tagged</h2><ul>{rows}</ul>"


def _counts(labels: Counter[str]) -> str:
    return ", ".join(f"{label} {count:,}" for label, count in labels.most_common())


def _tags(lines: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f"{text(taxonomy)}: {text(labels)}<br>"
        if labels
        else f'<span class="none">{text(taxonomy)}: none of these</span><br>'
        for taxonomy, labels in lines
    )


def _thumbnail(path: Path, limits: ImageLimits) -> bytes | str:
    """The file's thumbnail, or why there is none: it may have changed since it was tagged."""
    from worker import images
    from worker.images import previews

    try:
        decoded = images.read_image(path.read_bytes(), limits=limits, min_side=previews.MIN_SIDE)
        with decoded.pixels as picture:
            return previews.encode(picture, decoded.profile)[previews.THUMBNAIL]
    except Exception as error:  # noqa: BLE001  # the others are shown
        return " ".join(str(error).split())[:300]


def _name(path: Path) -> str:
    """Readable whatever bytes it has."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")
