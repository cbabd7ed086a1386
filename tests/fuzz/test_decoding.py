"""No file can crash, stall or bloat a worker: the short form of ``make fuzz``, and proof that it would notice."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.cases import Case, cases
from tests.fuzz.harness import ROOT, Finding, Tally, examine, keep
from tests.fuzz.limits import LIMITS
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import PIXELS

#: Files that once did something they must not. Each is called after what it is; ``make fuzz`` keeps new ones in .fuzz.
FINDINGS = sorted((ROOT / "tests" / "fixtures" / "images" / "findings").iterdir())
MISBEHAVE = "tests.fuzz.targets:misbehave"


def told(tally: Tally) -> list[str]:
    return [
        f"{finding.kind} {finding.case.label} ({finding.case.origin}): {finding.detail}" for finding in tally.findings
    ]


def handmade(*contents: bytes) -> list[Case]:
    return [Case(seed=0, number=n, origin="by hand", data=data) for n, data in enumerate(contents)]


class TestDecoding:
    """The real decode path, in processes with limits."""

    @pytest.mark.timeout(240)
    def test_thousands_of_damaged_files_end_as_pixels_or_with_a_reason(self) -> None:
        """Of every format some are still read and some refused; none does anything else."""
        tally = examine(cases(seed=2026, count=4_500))
        assert [] == told(tally)
        assert 4_500 == tally.files
        for format_name, family in seeds().items():
            here = {outcome for (origin, outcome) in tally.by_origin if origin in family}
            assert {PIXELS, "corrupt"} <= here, format_name

    def test_what_was_once_found_stays_mended(self) -> None:
        """The regression corpus."""
        assert len(FINDINGS) >= 5
        tally = examine(handmade(*(path.read_bytes() for path in FINDINGS)), processes=1)
        assert [] == told(tally)

    def test_what_is_mutated_is_intact_and_read(self) -> None:
        """Damage to a file that was never read tests nothing."""
        files = {name: data for family in seeds().values() for name, data in family.items()}
        tally = examine(handmade(*files.values()))
        assert {PIXELS: len(files)} == tally.outcomes
        assert len(files) > 100


class TestHarness:
    """A harness that cannot fail proves nothing."""

    @pytest.mark.parametrize(
        ("does", "called", "saying"),
        [
            (b"crash", "died", "SIGSEGV"),
            (b"hang", "hung", "SIGABRT"),
            (b"spin", "slow", " s, "),
            (b"eat", "memory", " MiB, "),
            (b"eat unreserved", "memory", " MiB, "),
            (b"eat all", "memory", "MemoryError"),
            (b"raise", "raised", "ZeroDivisionError: by the file"),
        ],
    )
    def test_it_calls_misbehaviour_by_its_name_and_goes_on(self, does: bytes, called: str, saying: str) -> None:
        """The file that did it is named, and its neighbours are examined."""
        patience = 2.0 if does == b"hang" else 60.0
        tally = examine(handmade(b"1", does, b"2", b"3"), target=MISBEHAVE, processes=1, patience=patience)
        assert [(called, does)] == [(finding.kind, finding.case.data) for finding in tally.findings]
        assert saying in tally.findings[0].detail
        assert [4 - (does not in {b"spin", b"eat", b"eat unreserved"})] == [tally.outcomes[PIXELS]]

    def test_it_sees_where_a_decoder_hangs_or_crashes(self) -> None:
        """The stack of the process that is gone is part of the finding."""
        tally = examine(handmade(b"crash", b"hang"), target=MISBEHAVE, processes=1, patience=3.0)
        assert all('targets.py", line' in finding.detail for finding in tally.findings)

    def test_it_sees_memory_that_is_never_given_back(self) -> None:
        """No single file is to blame, but the process has grown."""
        tally = examine(handmade(*[b"leak"] * 4), target=MISBEHAVE, processes=1)
        assert ["leak"] == [finding.kind for finding in tally.findings]

    def test_a_decoder_that_leaves_the_limits_is_noticed(self) -> None:
        """Every promise of the decode path is looked at: here it reads at full size and breaks one."""
        tally = examine(handmade(b"\x89PNG\r\n\x1a\n"), target="tests.fuzz.test_decoding:broken_promise", processes=1)
        assert ["raised"] == [finding.kind for finding in tally.findings]
        assert "UnexpectedResultError: mode L" in tally.findings[0].detail

    def test_a_case_is_the_same_in_every_process(self) -> None:
        """Its number is all that is needed to make it again."""
        script = (
            "import hashlib; from tests.fuzz.cases import cases;"
            "print(hashlib.sha256(b''.join(c.data for c in cases(7, 300))).hexdigest())"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert hashlib.sha256(b"".join(each.data for each in cases(7, 300))).hexdigest() == done.stdout.strip()

    def test_a_finding_is_kept_with_what_makes_it_again(self, tmp_path: Path) -> None:
        """The bytes, the seed and number, and what was said."""
        [case] = cases(7, 1, first=42)
        path = keep(Finding(kind="died", case=case, detail="SIGSEGV", before=("7-41",)), tmp_path / "kept")
        assert path.read_bytes() == case.data
        story = path.with_name(path.name + ".txt").read_text()
        assert all(part in story for part in ("7-42", case.origin, "SIGSEGV", "7-41"))


def broken_promise(data: bytes) -> str:
    """The checks of the real target on a result that is not what ``read_image`` promises."""
    from dataclasses import replace

    from PIL import Image

    from tests.fuzz import targets
    from worker.images import read_image

    decoded = read_image(seeds()["PNG"]["png"], limits=LIMITS, min_side=None)
    targets._check_pixels(decoded)
    targets._check_pixels(replace(decoded, pixels=Image.new("L", decoded.pixels.size)))
    return PIXELS
