"""A review on a terminal: one image, one key. Each decision is recorded before the next image is shown."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len

from worker.cli import context, terminal_pictures

if TYPE_CHECKING:
    from worker.catalog.decisions import Verdict
    from worker.db import Engine
    from worker.pipeline.pictures.previews import PreviewSource
    from worker.pipeline.review.decide import DecisionResult
    from worker.pipeline.review.queues import QueueItem

#: Keys of other labels, in this order; those with a meaning of their own are left out.
_LABEL_KEYS = "123456789acdefghijklmoprstvwxzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SIDE = 512  # pixels of previews
_END = "\x04"  # Ctrl-D
#: What function keys and late answers of the terminal look like.
_SEQUENCE = re.compile("\x1b(\\[[0-?]*[ -/]*[@-~]|O.|_[^\x1b]*\x1b\\\\|.?)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """A taxonomy's labels, as keys pick them."""

    taxonomy: str
    titles: Sequence[tuple[str, str]]  # name, and how it is shown

    def keys(self, asked: str) -> dict[str, tuple[str, str]]:
        """Key → label, for all labels but the one that is asked about; as many as there are keys."""
        return dict(zip(_LABEL_KEYS, [each for each in self.titles if each[0] != asked], strict=False))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answered:
    item: QueueItem
    decision: int | None  # None: it had been recorded before


class Session:
    """Asks about items until there are none, or the person quits."""

    def __init__(
        self,
        engine: Engine,
        labels: Labels,
        more: Callable[[], Sequence[QueueItem]],
        previews: PreviewSource | None,
        *,
        reviewer: str,
        limit: int | None,
    ) -> None:
        """Ask nothing yet.

        Args:
            engine: the database.
            labels: what can be answered.
            more: gives the next items; none: there are no more.
            previews: None: no pictures.
            reviewer: who decides.
            limit: most decisions.
        """
        self._engine, self._labels, self._more, self._previews = engine, labels, more, previews
        self._reviewer, self._limit = reviewer, limit
        self._waiting: list[QueueItem] = []
        self._done: list[_Answered] = []
        self._asked: set[str] = set()
        self._pictures: dict[str, Future[bytes]] = {}
        self._protocol: terminal_pictures.Protocol = "none"
        self.quit = False  # whether the person ended it

    @property
    def decided(self) -> int:
        """How many decisions stand."""
        return len(self._done)

    def run(self, pictures: terminal_pictures.Protocol | None) -> None:
        """Ask; ``pictures``: None asks the terminal whether it shows them."""
        terminal = sys.stdin.fileno()
        with terminal_pictures.keys_at_once(terminal), ThreadPoolExecutor(2, thread_name_prefix="picture") as pool:
            self._protocol = pictures or terminal_pictures.supported(terminal, sys.stdout.fileno())
            self._ask_all(_Keys(terminal), pool)
            pool.shutdown(cancel_futures=True)

    def left(self) -> list[QueueItem]:
        """Items that were not answered."""
        return self._waiting

    def _ask_all(self, keys: _Keys, pool: ThreadPoolExecutor) -> None:
        while (self._limit is None or self.decided < self._limit) and self._fill():
            self._prefetch(pool)
            item = self._waiting[0]
            self._show(item)
            key = keys.next()
            if key in ("q", _END):
                self.quit = True
                return
            if key == "b":
                self._back()
            else:
                self._answer(item, key)

    def _fill(self) -> bool:
        if not self._waiting:
            self._waiting = [each for each in self._more() if str(each.ref) not in self._asked]
        return bool(self._waiting)

    # -- answers -----------------------------------------------------------------------------------------------------
    def _answer(self, item: QueueItem, key: str) -> None:
        meant = self._meant(item, key)
        if meant is None:
            context.line(f"{key!r} is not a key here")
            return
        verdict, label = meant
        result = self._record(item, verdict, label)
        context.line(f"→ {verdict}{f' {label}' if label else ''}: {result.outcome}")
        if result.outcome in ("conflict", "refused"):
            self._ask_again(item, result)
            return
        self._waiting.pop(0)
        self._asked.add(str(item.ref))
        self._done.append(_Answered(item=item, decision=result.decision if result.outcome == "saved" else None))

    def _meant(self, item: QueueItem, key: str) -> tuple[Verdict, str | None] | None:
        from worker.catalog.decisions import Verdict

        simple = {
            "y": (Verdict.ACCEPT, item.label),
            "n": (Verdict.REJECT, item.label),
            "0": (Verdict.NONE, None),
            "u": (Verdict.UNSURE, None),
        }
        if key in simple:
            return simple[key]
        other = self._labels.keys(item.label).get(key)
        return None if other is None else (Verdict.REPLACE, other[0])

    def _record(self, item: QueueItem, verdict: Verdict, label: str | None) -> DecisionResult:
        from worker.pipeline.review.decide import DecisionRequest, decide

        request = DecisionRequest(
            ref=item.ref, taxonomy=self._labels.taxonomy, verdict=verdict, label=label, seen=item.seen,
            chosen=item.chosen, inclusion_probability=item.inclusion_probability, plan=item.plan,
        )  # fmt: skip
        [result] = decide(self._engine, [request], reviewer=self._reviewer).results
        return result

    def _ask_again(self, item: QueueItem, result: DecisionResult) -> None:
        context.line(f"not saved: {result.message}")
        now = result.now
        if now is None:
            return
        said = f"{now.verdict}{f' {now.label}' if now.label else ''}" if now.verdict else "nothing"
        by = f" by {now.reviewer} at {now.at:%Y-%m-%d %H:%M}" if now.reviewer and now.at else ""
        context.line(f"there is now: {said}{by}; in force: {', '.join(now.labels) or 'none of these'}")
        seen = replace(item.seen, labels=now.labels, decision=now.decision or 0)
        self._waiting[0] = replace(item, seen=seen, tags={**item.tags, self._labels.taxonomy: now.labels})

    def _back(self) -> None:
        from worker.pipeline.review.undo import undo_some

        if not self._done:
            context.line("nothing to go back to")
            return
        last = self._done.pop()
        if last.decision is not None:
            undo_some(self._engine, [last.decision], reviewer=self._reviewer)
        self._asked.discard(str(last.item.ref))
        self._waiting.insert(0, last.item)

    # -- what is shown -----------------------------------------------------------------------------------------------
    def _show(self, item: QueueItem) -> None:
        context.line("")
        context.line(f"{self.decided + 1}  {context.name(str(item.ref))}", style="bold")
        self._show_picture(item)
        name = self._labels.taxonomy
        chance = "" if item.probability is None else f"  probability {item.probability:.2f}"
        in_force = ", ".join(item.tags.get(name, ())) or "none of these"
        titled = dict(self._labels.titles).get(item.label, item.label)
        context.line(f"{name}: {context.name(titled)}?{chance}; in force: {context.name(in_force)}")
        context.line(item.why, style="dim")
        for each in _rows(self._help(item), context.out.width):
            context.line(each, style="dim")

    def _help(self, item: QueueItem) -> Iterator[str]:
        yield from ("y yes", "n no")
        keys = self._labels.keys(item.label)
        for key, (_, title) in keys.items():
            yield f"{key} {context.name(title)}"
        others = sum(name != item.label for name, _ in self._labels.titles)
        if others > len(keys):
            yield f"(`enrich decide` for {others - len(keys)} more)"
        yield from ("0 none of these", "u unsure", "b back", "q quit")

    def _show_picture(self, item: QueueItem) -> None:
        loading = self._pictures.get(str(item.ref))
        if loading is None:
            context.line(f"s3://{context.name(str(item.ref))}")
            return
        try:
            webp = loading.result()
        except Exception as error:  # noqa: BLE001  # the review goes on without this picture
            context.line(f"s3://{context.name(str(item.ref))}  ({' '.join(str(error).split())[:200]})")
            return
        sys.stdout.flush()
        rows = shutil.get_terminal_size().lines
        _write_all(sys.stdout.fileno(), terminal_pictures.picture(webp, self._protocol, rows=rows))

    def _prefetch(self, pool: ThreadPoolExecutor) -> None:
        if self._protocol == "none" or self._previews is None:
            return
        self._pictures = {
            str(each.ref): self._pictures.get(str(each.ref))
            or pool.submit(self._previews.of, each.ref, each.sha256, _SIDE)
            for each in self._waiting[:3]
        }


class _Keys:
    """Single keys, also those that were typed ahead."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._typed = ""

    def next(self) -> str:
        """The next key; the end of the input is Ctrl-D. Keys that send several bytes, such as arrows, are left out."""
        while not self._typed:
            sys.stdout.flush()
            read = os.read(self._terminal, 1_024)
            self._typed = _SEQUENCE.sub("", read.decode(errors="replace")) if read else _END
        key, self._typed = self._typed[0], self._typed[1:]
        return key


def _rows(parts: Iterable[str], width: int) -> Iterator[str]:
    """Parts, as many to a row as fit: a key stays beside its label."""
    row = ""
    for each in parts:
        if row and cell_len(row) + 2 + cell_len(each) > width:
            yield row
            row = ""
        row = f"{row}  {each}" if row else each
    if row:
        yield row


def _write_all(out: int, data: bytes) -> None:
    while data:
        data = data[os.write(out, data) :]
