"""Files of decisions, as other tools write them and as they break."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.catalog.decisions import Verdict
from worker.errors import ChoiceError
from worker.pipeline.review.formats.reading import FileFormat, open_file
from worker.pipeline.review.formats.rows import BadRow, Compared, FileRow, Note, Part, ReadOptions

FIXTURES = Path(__file__).parents[3] / "fixtures" / "decisions"
PHOTOS = ReadOptions(bucket="photos", taxonomy="time-of-day")


def parts(file: Path, options: ReadOptions = PHOTOS) -> list[Part]:
    return list(open_file(file).parts(options))


def written(folder: Path, content: str | bytes, options: ReadOptions = PHOTOS) -> list[Part]:
    file = folder / "decisions"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return parts(file, options)


def rows(found: list[Part]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(r.ref.key, r.taxonomy, r.verdict.value, r.labels) for r in found if isinstance(r, FileRow)]


def problems(found: list[Part]) -> list[str]:
    return [f"{part.place}: {part.message}" for part in found if isinstance(part, BadRow)]


# -- formats -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("label-studio.json", FileFormat.LABEL_STUDIO),
        ("fiftyone-samples.json", FileFormat.FIFTYONE),
        ("fiftyone-labels.json", FileFormat.FIFTYONE),
        ("fiftyone-multilabel.json", FileFormat.FIFTYONE),
        ("decisions.csv", FileFormat.CSV),
        ("two-columns.csv", FileFormat.CSV),
    ],
)
def test_formats_are_recognised(name, expected):
    """By the beginning of the file, whatever its name."""
    assert expected == open_file(FIXTURES / name).format


def test_label_studio():
    """Each annotator's choices are a decision; skipped tasks are unsure; boxes and predictions are left out."""
    fields = {"time_of_day": "time-of-day", "setting": "setting"}
    found = parts(FIXTURES / "label-studio.json", ReadOptions(bucket="photos", taxonomies=fields))
    harbour, hall = "2026/harbour at night.jpg", "2026/market hall.jpg"
    assert rows(found) == [
        (harbour, "time-of-day", "accept", ("Night",)),
        (harbour, "setting", "accept", ("indoor",)),
        (harbour, "time-of-day", "accept", ("Night",)),
        (harbour, "setting", "accept", ("outdoor",)),
        (hall, "time-of-day", "unsure", ()),
        (hall, "setting", "unsure", ()),
        ("quay.jpg", "time-of-day", "accept", ("day",)),
    ]
    people = [part.reviewer for part in found if isinstance(part, FileRow)]
    assert people == [*["ada@example.org"] * 2, *["bo@example.org"] * 2, *["label-studio:5"] * 2, "label-studio:3"]
    assert [True, False] == [part.agree for part in found if isinstance(part, Compared)]
    assert ["results that say nothing about the whole image, such as boxes", "tasks without annotations"] == [
        part.what for part in found if isinstance(part, Note)
    ]


def test_label_studio_with_two_questions_and_one_taxonomy():
    """It is not guessed which of them is meant."""
    assert [
        "line 2: labels are in the fields setting, time_of_day: say which are meant, --taxonomy FIELD=TAXONOMY"
    ] == problems(parts(FIXTURES / "label-studio.json"))


def test_label_studio_minimal_export(tmp_path):
    """JSON-MIN has no annotators; the message says what to export instead."""
    found = written(tmp_path, '[{"image": "s3://photos/a.jpg", "id": 7, "time_of_day": "night"}]')
    assert ["line 1, task 7: no annotations: export the project as JSON, not as JSON-MIN"] == problems(found)


def test_fiftyone_dataset():
    """Classification and Classifications of the fields that were named; a field of a model is left alone."""
    fields = {"time_of_day": "time-of-day", "scene": "scene"}
    found = parts(FIXTURES / "fiftyone-samples.json", ReadOptions(bucket="photos", prefix="2026/", taxonomies=fields))
    assert [
        ("2026/harbour.jpg", "time-of-day", "accept", ("night",)),
        ("2026/harbour.jpg", "scene", "accept", ("water", "boat")),
    ] == rows(found)
    assert [False, True] == [part.whole for part in found if isinstance(part, FileRow)]


def test_predictions_of_fiftyone_are_not_decisions():
    """A field with confidences is imported only if it is named."""
    messages = problems(parts(FIXTURES / "fiftyone-samples.json", ReadOptions(bucket="photos")))
    assert any("clip has confidences" in message for message in messages)
    named = parts(FIXTURES / "fiftyone-samples.json", ReadOptions(bucket="photos", taxonomies={"clip": "time-of-day"}))
    assert ["day", "day"] == [label for *_, labels in rows(named) for label in labels]


def test_fiftyone_image_classification_dataset():
    """Numbers are looked up in the classes; images are named without their extension."""
    found = parts(FIXTURES / "fiftyone-labels.json")
    assert [
        ("harbour", "time-of-day", "accept", ("night",)),
        ("2026/quay", "time-of-day", "accept", ("day",)),
        ("lamp", "time-of-day", "accept", ("night",)),
    ] == rows(found)
    assert all(part.without_extension for part in found if isinstance(part, FileRow))
    several = parts(FIXTURES / "fiftyone-multilabel.json")
    assert [("water", "boat"), ("boat",)] == [labels for *_, labels in rows(several)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"labels": {"a": 1}}', "line 1, image a: label number 1 is not in classes"),
        ('{"labels": {"a": [{"label": "x", "bounding_box": [0, 0, 1, 1]}]}}', "detections say nothing"),
        ('{"labels": {"a": true}}', "label 'True' is not a text"),
        ('{"samples": [{"filepath": 5}]}', "line 1, sample 1: no filepath"),
        ('{"samples": [7]}', "line 1, sample 1: no filepath"),
        ('{"classes": ["a"], "labels": {"x": 0}} {}', "line 1: not JSON: there is more after its end"),
    ],
)
def test_bad_files_of_fiftyone(tmp_path, content, message):
    """Each says what is wrong, and where."""
    assert any(message in problem for problem in problems(written(tmp_path, content)))


def test_csv():
    """Windows line ends, quoted cells and empty cells."""
    found = parts(FIXTURES / "decisions.csv", ReadOptions())
    assert [
        ("2026/harbour.jpg", "time-of-day", "accept", ("night",)),
        ("2026/quay.jpg", "time-of-day", "none", ()),
        ("2026/lamp.jpg", "setting", "reject", ("outdoor",)),
    ] == rows(found)
    assert ["ada", "ada", "bo"] == [part.reviewer for part in found if isinstance(part, FileRow)]


def test_two_columns():
    """A byte order mark, semicolons, and no more than a path and a label."""
    found = parts(FIXTURES / "two-columns.csv", ReadOptions(bucket="photos", prefix="2026/", taxonomy="time-of-day"))
    assert [
        ("2026/harbour.jpg", "time-of-day", "accept", ("night",)),
        ("2026/quay.jpg", "time-of-day", "accept", ("day",)),
    ] == rows(found)


def test_the_map_renames_and_leaves_out(tmp_path):
    """A label that is mapped to nothing is not imported, and that is said."""
    options = ReadOptions(bucket="b", taxonomy="t", labels={"nacht": "night", "junk": ""})
    found = written(tmp_path, "path,label\na,nacht\nb,junk\nc,day\nd,none of these\n", options)
    assert [("a", ("night",)), ("c", ("day",)), ("d", ())] == [(key, labels) for key, _, _, labels in rows(found)]
    assert [Note(what="labels that the map leaves out")] == [part for part in found if isinstance(part, Note)]


def test_complete_sets(tmp_path):
    """Several labels in one cell or list are the whole answer."""
    found = written(tmp_path, 'path,labels\na,cat;sofa\nb,"[""x;y"", ""z""]"\n')
    assert [("cat", "sofa"), ("x;y", "z")] == [labels for *_, labels in rows(found)]
    found = written(tmp_path, '{"key": "a", "label": ["cat"]}\n')
    assert [True] == [part.whole for part in found if isinstance(part, FileRow)]


def test_one_label_for_all(tmp_path):
    """A list of images; a row with a label or a verdict keeps its own."""
    options = ReadOptions(bucket="b", taxonomy="t", label="day")
    found = written(tmp_path, "path,label,verdict\na,,\nb,night,\nc,,unsure\n", options)
    assert [("accept", ("day",)), ("accept", ("night",)), ("unsure", ())] == [each[2:] for each in rows(found)]
    assert [("a", "t", "accept", ("day",))] == rows(written(tmp_path, "path\na\n", options))


# -- what breaks -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,lable\na,b\n", "line 1: unknown column 'lable'; did you mean 'label'?"),
        ("a,b\n1,2\n", "line 1: no column names the image"),
        ("path,path\n1,2\n", "line 1: two columns have one name"),
        ("path,label\na,b,c\n", "line 2: 3 cells, but the header has 2"),
        ("path,label\na\n", "line 2: 1 cells, but the header has 2"),
        ("path,label\na,\n", "line 2: no label and no verdict"),
        ("path,label,verdict\na,b,acept\n", "line 2: unknown verdict 'acept'; did you mean 'accept'?"),
        ("path,label,verdict\na,b,none\n", "line 2: the verdict none means that no label holds"),
        ("path,labels,verdict\na,b;c,reject\n", "line 2: the verdict reject is about one label, not 2"),
        ("path,label,verdict\na,,reject\n", "line 2: the verdict reject needs a label"),
        ("path,label,sha256\na,b,12\n", "line 2: sha256 '12' is not 64 hex digits"),
        ("path,label,at\na,b,yesterday\n", "line 2: the time 'yesterday' is not like"),
        ("path,label,inclusion_probability\na,b,0\n", "line 2: inclusion_probability 0 must be above 0"),
        ("path,label,inclusion_probability\na,b,nan\n", "line 2: inclusion_probability nan must be above 0"),
        ("path,label,plan\na,b,1.5\n", "line 2: plan '1.5' is not a whole number"),
        (
            "path,label,chosen\na,b,randomly\n",
            "line 2: unknown way to choose images 'randomly'; did you mean 'random'?",
        ),
        ('path,label\n"a,b\nc,d\n', "line 2: not CSV: unexpected end of data; is a quotation mark missing?"),
        (b"path,label\na,b\nna\xefve.jpg,x\n", "line 3: not UTF-8 (byte 0xef): save the file as UTF-8"),
        ('{"key": "a", "label": "b"}\n{"key": "c", "la', "line 2: not a JSON object: it may be cut off"),
        ('{"key": "a", "label": "b"}\n[1]\n', "line 2: not a JSON object"),
        ('{"key": "a", "label": 5}\n', "line 1: label '5' is not a text"),
        ('{"key": "a\\u0000", "label": "b"}\n', "line 1: key 'a\\x00' has a character that cannot be stored"),
        ('{"key": "a", "label": "\\ud800"}\n', "has a character that cannot be stored"),
        ('{"key": "a", "lable": "b"}\n', "line 1: unknown field 'lable'; did you mean 'label'?"),
        ('[{"data": {"image": "s3://b/k"}, "annotations": [{"resu', "line 1: the file ends early: it is truncated"),
        ('[{"data": {"image": "s3://b/k"}, "annotations": []}', "line 1: the file ends early: it is truncated"),
        ("[" * 100_000, "line 1: not readable: nested too deeply"),
        ('[{"annotations": [{"result": []}]}]', "line 1, task 1: no data, which has the image's address"),
        ('[{"annotations": [{"result": []}], "data": {"a": "x", "b": "y"}}]', "which is the image?"),
        ('[{"annotations": [{"result": []}], "data": {"image": 5}}]', "data.image '5' is not a text"),
        ('[{"annotations": {}}]', "line 1, task 1: no annotations"),
        ("[7]", "line 1, task 1: no annotations"),
    ],
)
def test_broken_files(tmp_path, content, message):
    """Each message says where, what is wrong with which value, and what would be right."""
    found = problems(written(tmp_path, content))
    assert [problem for problem in found if message in problem] != [], found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        ("path,label\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (b"PK\x03\x04 a spreadsheet", "is not a text file"),
        (b"\x1f\x8b\x08 compressed", "is not a text file"),
    ],
)
def test_files_of_no_format(tmp_path, content, message):
    """They are refused as a whole."""
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ChoiceError, match=message):
        open_file(tmp_path / "f")


def test_paths_that_are_no_files(tmp_path):
    """A directory, and nothing at all."""
    for path in (tmp_path, tmp_path / "missing.csv", Path("/dev/null")):
        with pytest.raises(ChoiceError, match=r"is not a file|cannot be read"):
            open_file(path)


def test_a_truncated_file_is_read_up_to_there(tmp_path):
    """Whatever the place at which it was cut, each row is as in the whole file, or a problem."""
    whole = (FIXTURES / "label-studio.json").read_text()
    options = ReadOptions(bucket="photos", taxonomies={"time_of_day": "t", "setting": "s"})
    expected = [each for each in parts(FIXTURES / "label-studio.json", options) if isinstance(each, FileRow)]
    for end in range(1, len(whole) - 1, 211):
        found = written(tmp_path, whole[:end], options)
        got = [each for each in found if isinstance(each, FileRow)]
        assert expected[: len(got)] == got
        assert isinstance(found[-1], BadRow)
        assert found[-1].damaged


_words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda word: word == word.strip() and word.strip() and word != "none of these"
)


@given(st.lists(st.tuples(_words, _words), min_size=1, max_size=20))
def test_any_key_and_label_survive_csv_and_jsonl(tmp_path_factory, pairs):
    """Quotation marks, line ends and letters of any script."""
    folder = tmp_path_factory.mktemp("files")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["bucket", "key", "label"])
    writer.writerows(["b", key, label] for key, label in pairs)
    expected = [(key, "time-of-day", "accept", (label,)) for key, label in pairs]
    (folder / "a.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    assert expected == rows(list(open_file(folder / "a.csv", FileFormat.CSV).parts(PHOTOS)))
    lines = "".join(json.dumps({"bucket": "b", "key": key, "label": label}) + "\n" for key, label in pairs)
    (folder / "a.jsonl").write_text(lines, encoding="utf-8")
    assert expected == rows(parts(folder / "a.jsonl"))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    """No file makes the reader fail."""
    file = tmp_path_factory.mktemp("files") / "f"
    file.write_bytes(content)
    for format_ in FileFormat:
        for part in open_file(file, format_).parts(PHOTOS):
            assert isinstance(part, FileRow | BadRow | Note | Compared)


def test_undone_decisions_and_undos_are_left_out(tmp_path):
    """As our own exports have them."""
    lines = [
        {"id": 1, "bucket": "b", "key": "a", "taxonomy": "t", "verdict": "accept", "label": "x", "undone_by": 2},
        {"id": 2, "bucket": "b", "key": "a", "taxonomy": "t", "verdict": "undo", "undoes": 1},
        {"id": 3, "bucket": "b", "key": "a", "taxonomy": "t", "verdict": "none", "label": None},
    ]
    found = written(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), ReadOptions())
    assert [("a", "t", Verdict.NONE, ())] == rows(found)
    assert 2 == sum(isinstance(part, Note) for part in found)
