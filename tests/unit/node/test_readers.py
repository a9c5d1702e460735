"""Who may have a model of the cache without asking, and the notes by which that is known."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from treadle_agent.models.errors import StorageError
from treadle_agent.models.notes import Notes
from treadle_agent.models.readers import Reader, Reading, came_from, reading_of, source_key, with_reading

ONE = Reader("team", "https://models.example/m.onnx?key=open-sesame", "reader")
HERE = source_key(ONE.uri, None)
READING = Reading(ONE.key, HERE, "models.example")


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, namespace="other"),
        replace(ONE, uri="https://models.example/m.onnx"),
        replace(ONE, secret=None),
        replace(ONE, secret="another"),
        Reader("teamh", ONE.uri.removeprefix("h"), "reader"),
    ],
    ids=["namespace", "uri", "no secret", "secret", "run together"],
)
def test_who_was_let_in_is_a_namespace_by_a_uri_and_a_secret(other: Reader) -> None:
    assert reading_of([READING], ONE) == READING
    assert reading_of([READING], other) is None


def test_where_a_model_came_from_is_a_uri_and_for_a_bucket_its_endpoint() -> None:
    assert came_from([READING], HERE)
    assert not came_from([READING], source_key("https://models.example/other.onnx", None))
    assert source_key("s3://models/m", "s3.example") != source_key("s3://models/m", "evil.example")


def test_the_latest_thousand_are_known_each_once() -> None:
    readings: list[Reading] = []
    for number in range(1001):
        readings = with_reading(readings, Reading(str(number), HERE, "models.example"))
    assert [one.reader for one in (readings[0], readings[-1])] == ["1", "1000"]
    again = Reading("1", HERE, "other.example")
    assert with_reading(readings, again) == [*readings[1:], again]


def notes(folder: Path) -> Notes:
    return Notes(folder / ".readers", lambda digest: folder / f"{digest}.onnx")


def test_another_process_reads_what_was_noted(tmp_path: Path) -> None:
    other = Reading("other", HERE, "models.example")
    for reading in (READING, other):
        notes(tmp_path).add("digest", reading)
    assert notes(tmp_path).read("digest") == [READING, other]
    assert notes(tmp_path).read("another") == []
    [note] = [file for file in (tmp_path / ".readers").iterdir() if not file.name.startswith(".")]
    assert b"sesame" not in note.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{", b'[{"reader": 7}]'])
def test_a_damaged_note_says_nothing_and_is_written_anew(tmp_path: Path, damage: bytes) -> None:
    notes(tmp_path).add("digest", READING)
    (tmp_path / ".readers" / "digest").write_bytes(damage)
    assert notes(tmp_path).read("digest") == []
    notes(tmp_path).add("digest", READING)
    assert notes(tmp_path).read("digest") == [READING]


def test_a_note_leaves_with_its_model_but_may_come_before_it(tmp_path: Path) -> None:
    for name in ("there", "gone", "coming"):
        notes(tmp_path).add(name, READING)
    (tmp_path / "there.onnx").touch()
    for name in ("there", "gone"):
        os.utime(tmp_path / ".readers" / name, (time.time() - 7200.0,) * 2)
    notes(tmp_path).add("new", READING)
    left = {name for name in ("there", "gone", "coming", "new") if notes(tmp_path).read(name)}
    assert left == {"there", "coming", "new"}


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".readers").touch()
    with pytest.raises(StorageError, match=rf"the model store {tmp_path}/.readers cannot be written: File exists"):
        notes(tmp_path).add("digest", READING)
