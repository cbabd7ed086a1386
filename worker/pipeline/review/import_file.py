"""The use case: record the decisions that are in a file, all or none; again and again without harm."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from uuid import UUID, uuid5

from worker import catalog
from worker.catalog.decisions import Decision
from worker.db import Engine, snapshot, transaction
from worker.pipeline.review.decide import MOST, DecisionOutcome, DecisionRequest, DecisionResult, decide
from worker.pipeline.review.formats.reading import DecisionFile
from worker.pipeline.review.formats.rows import BadRow, Compared, FileRow, Note, ReadOptions
from worker.pipeline.review.resolve_rows import Defaults, ResolvedRow, bad, resolve
from worker.types import ObjectRef

_NAMESPACE = UUID("6b0fa1d4-9a1c-5d0e-8f43-1c3f2f0b7a55")
#: Rows that are resolved at once.
_ROWS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOptions:
    """How to read a file, and what its rows leave open."""

    read: ReadOptions
    defaults: Defaults
    skip_invalid: bool = False  # import the other rows of a file that has bad ones
    dry_run: bool = False


@dataclass(kw_only=True)
class ImportReport:
    """What became of a file. Filled while it is imported."""

    batch: UUID
    rows: int = 0  # with a decision that can be recorded
    outcomes: Counter[str] = field(default_factory=Counter)  # of decisions; a row may make several
    before: int = 0  # rows that an earlier import of this file recorded
    bad: int = 0
    damaged: bool = False  # the file cannot be read to its end: never imported
    notes: Counter[str] = field(default_factory=Counter)
    agree: int = 0  # images that several people labelled, with the same labels
    differ: int = 0
    written: bool = False

    @property
    def saved(self) -> int:
        """Decisions that were recorded now."""
        return self.outcomes[DecisionOutcome.SAVED] + self.outcomes[DecisionOutcome.OTHER_BYTES]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listeners:
    """Who is told while a file is imported."""

    problem: Callable[[BadRow], None] = lambda _: None
    progress: Callable[[int, int | None], None] = lambda _done, _of: None  # rows, of how many if that is known


def batch_of(file: DecisionFile, options: ReadOptions) -> UUID:
    """The batch of a file: the same whenever it is imported in the same way."""
    return uuid5(_NAMESPACE, json.dumps([file.sha256, file.format, asdict(options)], sort_keys=True))


def import_file(
    engine: Engine, file: DecisionFile, options: ImportOptions, listeners: Listeners | None = None
) -> ImportReport:
    """Check a whole file, then record its decisions in transactions of up to ``MOST``.

    If it is stopped half-way, the next call goes on from there. Memory does not grow with the file, except for what a
    call that goes on has to remember about images with several decisions.

    Args:
        engine: of the database.
        file: to read, twice.
        options: how to read it.
        listeners: told about problems and progress.
    """
    listeners = listeners or Listeners()
    report = ImportReport(batch=batch_of(file, options.read))
    _check(engine, file, options, report, listeners)
    if options.dry_run or report.damaged or (report.bad and not options.skip_invalid):
        return report
    report.written = True
    _write(engine, file, options, report, listeners)
    return report


def _check(
    engine: Engine, file: DecisionFile, options: ImportOptions, report: ImportReport, listeners: Listeners
) -> None:
    """Read and resolve everything, and report every problem."""
    for parts in _chunks(file, options.read):
        for part in parts:
            if isinstance(part, Note):
                report.notes[part.what] += 1
            elif isinstance(part, Compared):
                report.agree, report.differ = report.agree + part.agree, report.differ + (not part.agree)
            elif isinstance(part, BadRow):
                report.damaged |= part.damaged
        for resolved in _resolved(engine, parts, options.defaults):
            if isinstance(resolved, BadRow):
                report.bad += 1
                listeners.problem(resolved)
            else:
                report.rows += 1
        listeners.progress(report.rows, None)


def _write(
    engine: Engine, file: DecisionFile, options: ImportOptions, report: ImportReport, listeners: Listeners
) -> None:
    earlier = _Earlier(engine, report.batch)
    done = 0
    for parts in _chunks(file, options.read):
        rows = [each for each in _resolved(engine, parts, options.defaults) if isinstance(each, ResolvedRow)]
        missing = earlier.missing(rows)
        report.before += len(rows) - len(missing)
        for some in _transactions(missing):
            _record(engine, some, options.defaults, report, listeners)
        done += len(rows)
        listeners.progress(done, report.rows)


def _chunks(file: DecisionFile, options: ReadOptions) -> Iterator[list[FileRow | BadRow | Note | Compared]]:
    chunk: list[FileRow | BadRow | Note | Compared] = []
    for part in file.parts(options):
        chunk.append(part)
        if len(chunk) == _ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _resolved(
    engine: Engine, parts: Sequence[FileRow | BadRow | Note | Compared], defaults: Defaults
) -> Iterator[ResolvedRow | BadRow]:
    """Rows and problems of a chunk, in the order of the file."""
    rows = [part for part in parts if isinstance(part, FileRow)]
    with snapshot(engine) as connection:
        resolved = iter(list(resolve(connection, rows, defaults)))
    for part in parts:
        if isinstance(part, FileRow):
            yield next(resolved)
        elif isinstance(part, BadRow):
            yield part


def _transactions(rows: Sequence[ResolvedRow]) -> Iterator[list[ResolvedRow]]:
    """Rows that fit into one transaction; the decisions of one row stay together."""
    some: list[ResolvedRow] = []
    size = 0
    for row in rows:
        if size + len(row.requests) > MOST:
            yield some
            some, size = [], 0
        some.append(row)
        size += len(row.requests)
    if some:
        yield some


def _record(
    engine: Engine, rows: Sequence[ResolvedRow], defaults: Defaults, report: ImportReport, listeners: Listeners
) -> None:
    requests = list(chain.from_iterable(row.requests for row in rows))
    done = decide(
        engine, requests, reviewer=defaults.reviewer, batch=report.batch, resume=False, new_labels=defaults.new_labels
    )
    results = iter(done.results)
    for row in rows:
        own = [next(results) for _ in row.requests]
        report.outcomes.update(str(each.outcome) for each in own)
        refused = _refused(own)
        if refused is not None:
            report.bad += 1
            listeners.problem(bad(row.row, refused.message))


def _refused(results: Sequence[DecisionResult]) -> DecisionResult | None:
    not_saved = (DecisionOutcome.CONFLICT, DecisionOutcome.REFUSED)
    return next((each for each in results if each.outcome in not_saved), None)


class _Earlier:
    """What an earlier, perhaps interrupted, import of the same file has recorded and was not undone since."""

    def __init__(self, engine: Engine, batch: UUID) -> None:
        self._engine = engine
        self._batch = batch
        with transaction(engine) as connection:
            self._any = catalog.decision_history.is_standing(connection, batch)
        # Of an image and a taxonomy with several decisions, how many of these the file's rows so far have made.
        self._used: dict[int, int] = {}

    def missing(self, rows: Sequence[ResolvedRow]) -> list[ResolvedRow]:
        """Those of the next rows of the file that are not recorded yet."""
        if not self._any:
            return list(rows)
        recorded = self._recorded({request.ref for row in rows for request in row.requests})
        return [row for row in rows if not self._is_recorded(row, recorded)]

    def _recorded(self, refs: set[ObjectRef]) -> dict[int, list[object]]:
        with transaction(self._engine) as connection:
            standing = catalog.decision_history.standing(connection, self._batch, refs)
        found: dict[int, list[object]] = {}
        for each in standing:
            found.setdefault(hash((each.bucket, each.key, each.taxonomy)), []).append(_made(each))
        return found

    def _is_recorded(self, row: ResolvedRow, recorded: dict[int, list[object]]) -> bool:
        """Whether one of the row's decisions is among the recorded ones that no row before it has made."""
        first = row.requests[0]
        about = hash((first.ref.bucket, first.ref.key, first.taxonomy))
        there, used = recorded.get(about, []), self._used.get(about, 0)
        found = False
        for request in row.requests:
            if _asked(request) in there[used:]:
                used, found = there.index(_asked(request), used) + 1, True
        if not found:
            used = max(used, len(there)) + len(row.requests)  # it is recorded next
        if not found or len(there) > 1:
            self._used[about] = used
        return found


def _made(decision: Decision) -> object:
    return decision.verdict, decision.label, decision.reviewer


def _asked(request: DecisionRequest) -> object:
    return request.verdict, request.label, request.reviewer


def without_map(options: ImportOptions) -> ImportOptions:
    """Labels that are renamed no longer say what they said about others."""
    if not options.read.labels:
        return options
    return replace(options, defaults=replace(options.defaults, as_recorded=False))
