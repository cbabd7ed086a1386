"""``enrich decisions import``: decisions from files, our own and other tools'."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from worker.cli import context
from worker.cli.decide import Reviewer, reviewing
from worker.cli.decisions import group

if TYPE_CHECKING:
    from worker.pipeline.review.formats.reading import FileFormat
    from worker.pipeline.review.formats.rows import BadRow, ReadOptions
    from worker.pipeline.review.import_file import ImportOptions, ImportReport

#: Problems of a file that are shown.
_SHOWN = 20


def register(_: typer.Typer) -> None:
    """Add the commands of this module."""
    group.command("import")(import_decisions)


def import_decisions(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON lines, or an export of another tool.")],
    *,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="jsonl, csv, label-studio or fiftyone; else detected."),
    ] = None,
    taxonomy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FIELD=]NAME",
            help="Taxonomy of the labels, where the file names none; FIELD=NAME: of one of its fields.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="LABEL", help="Of all images, in a CSV file or JSON lines without labels."),
    ] = None,
    bucket: Annotated[str | None, typer.Option(metavar="NAME", help="Of images that the file names by path.")] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Put before every path to make the key.")] = "",
    strip: Annotated[str, typer.Option(metavar="TEXT", help="Take off the start of every path first.")] = "",
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="OLD=NEW|FILE", help="Rename labels; `OLD=` leaves them out. A file: CSV, old,new."
        ),
    ] = None,
    reviewer: Reviewer = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, where the file does not say.")] = None,
    new_labels: Annotated[
        bool, typer.Option("--new-labels", help="Allow labels that the taxonomy does not have.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Import the other rows of a file with bad ones.")
    ] = False,
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=context.output, help="Write rows that are not imported here, and why."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, and record nothing.")] = False,
) -> None:
    """Record the decisions in a file: our own exports, CSV, Label Studio's JSON or FiftyOne's.

    The whole file is checked first. If anything is wrong with it, every problem is listed, and nothing is recorded.
    A file that was imported before, or in part, is never recorded twice.
    """
    from worker.pipeline.review.formats.reading import open_file
    from worker.pipeline.review.import_file import ImportOptions, Listeners, import_file, without_map
    from worker.pipeline.review.resolve_rows import Defaults

    if refused is not None and refused.exists() and file.exists() and refused.samefile(file):
        raise typer.BadParameter(f"--refused {refused} is the file to import: name another, which will be written")
    who = reviewing(reviewer)
    read = _read_options(taxonomy or [], map_ or [])
    read = replace(read, label=label, bucket=bucket, prefix=prefix, strip=strip)
    defaults = Defaults(reviewer=who, reason=reason, new_labels=new_labels)
    options = without_map(ImportOptions(read=read, defaults=defaults, skip_invalid=skip_invalid, dry_run=dry_run))
    opened = open_file(file, None if format_ is None else _format(format_))
    engine = context.database(context.load_settings())
    with ExitStack() as stack:
        problems = stack.enter_context(_problems(file, refused))
        bar = stack.enter_context(context.progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()))
        task = bar.add_task("checking", total=None)

        def progress(done: int, of: int | None) -> None:
            bar.update(task, completed=done, total=of, description="checking" if of is None else "recording")

        report = import_file(engine, opened, options, Listeners(problem=problems.add, progress=progress))
    _say(report, options, problems)


# -- options -----------------------------------------------------------------------------------------------------------
def _format(word: str) -> FileFormat:
    from worker.pipeline.review.formats.reading import FileFormat
    from worker.suggestions import shown, suggested

    try:
        return FileFormat(word)
    except ValueError:
        choices = [str(each) for each in FileFormat]
        hint = suggested(word, choices, otherwise=f"choose one of {', '.join(choices)}")
        raise typer.BadParameter(f"unknown format {shown(word)}; {hint}") from None


def _read_options(taxonomies: Sequence[str], maps: Sequence[str]) -> ReadOptions:
    from worker.pipeline.review.formats.rows import ReadOptions

    plain = [each for each in taxonomies if "=" not in each]
    fields = dict(each.split("=", 1) for each in taxonomies if "=" in each)
    if len(plain) > 1 or (plain and fields):
        raise typer.BadParameter("give one --taxonomy NAME for all labels, or one --taxonomy FIELD=NAME for each field")
    return ReadOptions(
        taxonomy=plain[0] if plain else None,
        taxonomies=fields,
        labels=_each_once(pair for each in maps for pair in _renamed(each)),
    )


def _each_once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for old, new in pairs:
        if found.setdefault(old, new) != new:
            raise typer.BadParameter(f"--map: {old!r} is renamed to both {found[old]!r} and {new!r}; leave one out")
    return found


def _renamed(text: str) -> Iterator[tuple[str, str]]:
    """Old and new labels of a --map."""
    if not Path(text).is_file():
        old, equals, new = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--map {text!r}: write OLD=NEW, or the name of an existing file")
        yield old.strip(), new.strip()
        return
    with Path(text).open(encoding="utf-8-sig", newline="") as lines:
        for number, cells in enumerate(csv.reader(lines), 1):
            if len(cells) not in (0, 2):
                raise typer.BadParameter(f"--map {text}: line {number} has {len(cells)} cells; write old,new")
            if cells:
                yield cells[0].strip(), cells[1].strip()


# -- problems ----------------------------------------------------------------------------------------------------------
class _Problems:
    """Shows the first problems of a file, and writes all of them into another file if one was named."""

    def __init__(self, file: Path, refused: TextIO | None) -> None:
        self._name = file
        self.file = None if refused is None else refused.name
        self._shown = 0
        self.hidden = 0
        self._writer = None if refused is None else csv.writer(refused, lineterminator="\n")
        if self._writer is not None:
            self._writer.writerow(["line", "item", "image", "taxonomy", "label", "problem"])

    def add(self, row: BadRow) -> None:
        """Take one."""
        if self._writer is not None:
            place = row.place
            self._writer.writerow([place.line, place.item, row.image, row.taxonomy, row.label, row.message])
        if self._shown == _SHOWN:
            self.hidden += 1
            return
        self._shown += 1
        context.say(f"{self._name}, {row.place}: {row.message}")


@contextmanager
def _problems(file: Path, refused: Path | None) -> Iterator[_Problems]:
    from worker.errors import ConfigurationError

    if refused is None:
        yield _Problems(file, None)
        return
    try:
        with refused.open("w", encoding="utf-8", newline="") as text:
            yield _Problems(file, text)
    except OSError as error:
        raise ConfigurationError(f"{refused} cannot be written: {error.strerror}") from error


# -- report ------------------------------------------------------------------------------------------------------------
def _say(report: ImportReport, options: ImportOptions, problems: _Problems) -> None:
    if problems.hidden:
        where = "--refused FILE writes all of them" if problems.file is None else f"see {problems.file}"
        context.say(f"… and {problems.hidden:,} more; {where}")
    for what, count in sorted(report.notes.items()):
        context.say(f"not decisions, left out: {count:,} {what}")
    if report.agree + report.differ:
        context.say(
            f"labelled by several people: {report.agree + report.differ:,}; all agree about {report.agree:,}, and for "
            "the others the last one counts"
        )
    if not report.written:
        _say_nothing_written(report, options)
    elif report.rows and report.before == report.rows:
        context.line(f"already imported: batch {report.batch}")
    else:
        context.line(_counts(report))
        if report.saved or report.before:
            context.line(f"batch {report.batch}; undo with: enrich decide --undo {report.batch}")
    if report.bad and not options.skip_invalid:
        raise typer.Exit(1)


def _counts(report: ImportReport) -> str:
    said = [f"{count:,} {outcome}" for outcome, count in report.outcomes.items()]
    if report.before:
        said.append(f"{report.before:,} rows imported before")
    return ", ".join(said) or "the file has no decisions"


def _say_nothing_written(report: ImportReport, options: ImportOptions) -> None:
    rows = f"{report.rows:,} {'row is' if report.rows == 1 else 'rows are'} valid"
    if not report.bad:
        context.line(f"{rows}; nothing was recorded, because of --dry-run")
        return
    how = "" if report.damaged or options.dry_run else "; --skip-invalid leaves out what is wrong"
    wrong = f"{report.bad:,} {'row is' if report.bad == 1 else 'rows are'} not"
    context.line(f"{rows}, {wrong}: nothing was recorded{how}")
