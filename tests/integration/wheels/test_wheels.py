"""Wheels fetched by the real pip, from a folder instead of an index."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from treadle import wheels
from treadle.wheels import Wheel, WheelUnavailableError

TOY = Wheel("treadle_toy_model", "1.0")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole world."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def publish(index: Path) -> Path:
    path = index / "treadle_toy_model-1.0-py3-none-any.whl"
    about = "treadle_toy_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy/model.onnx", b"weights")
        # As rapidocr_onnxruntime does, which is why it cannot be installed.
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: treadle-toy-model\nVersion: 1.0\nRequires-Python: <3\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def test_a_wheel_is_fetched_once_and_read_as_an_archive(index: Path, tmp_path: Path) -> None:
    published = publish(index)
    path = wheels.member(TOY, "toy/model.onnx", tmp_path / "kept")
    assert path.read_bytes() == b"weights"
    published.unlink()
    path.unlink()
    assert wheels.member(TOY, "toy/model.onnx", tmp_path / "kept").read_bytes() == b"weights"


def test_no_index_is_an_error_of_its_own(index: Path, tmp_path: Path) -> None:
    assert index.is_dir()
    with pytest.raises(WheelUnavailableError, match=r"treadle_toy_model 1.0 cannot be fetched: .*No matching"):
        wheels.fetch(TOY, tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_file_that_is_not_in_the_wheel_is_named(index: Path, tmp_path: Path) -> None:
    publish(index)
    with pytest.raises(KeyError, match=r"toy/other.onnx"):
        wheels.member(TOY, "toy/other.onnx", tmp_path / "kept")
