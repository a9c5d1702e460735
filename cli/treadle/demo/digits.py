"""The demo's real input: scikit-learn's handwritten digits, offline. A request is a page of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PIXELS = 64  # 8 × 8, one digit
CLASSES = 10
PAGE = 64  # digits on a page
HELD_OUT = 600  # of the 1,797 digits; no model sees them before the load does

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Digits:
    """Handwritten digits: `images` (N, PIXELS) float32 in 0..1, `labels` (N,) int64 in 0..9."""

    images: Array
    labels: Array

    def sample(self, random: np.random.Generator, count: int) -> Digits:
        """`count` digits, drawn without replacement while there are enough of them."""
        drawn = random.choice(len(self.labels), size=count, replace=count > len(self.labels))
        return Digits(self.images[drawn], self.labels[drawn])


def load_digits(seed: int) -> tuple[Digits, Digits]:
    """The digits for training, and HELD_OUT others for measuring accuracy and for the load."""
    table = np.loadtxt(_file(), dtype=np.float32, delimiter=",")
    table = table[np.random.default_rng(seed).permutation(len(table))]
    images, labels = table[:, :PIXELS] / np.float32(16), table[:, PIXELS].astype(np.int64)
    held_out, train = slice(None, HELD_OUT), slice(HELD_OUT, None)
    return Digits(images[train], labels[train]), Digits(images[held_out], labels[held_out])


def _file() -> Path:
    """scikit-learn's table of digits: a row is a digit's pixels, 0..16, and its label. Found without importing
    scikit-learn, which takes seconds where several processes share a core.
    """
    found = importlib.util.find_spec("sklearn")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")


def pages(digits: Digits, random: np.random.Generator, count: int) -> tuple[Array, Array]:
    """`count` pages: images (count, PAGE, PIXELS) and labels (count, PAGE)."""
    drawn = digits.sample(random, count * PAGE)
    return drawn.images.reshape(count, PAGE, PIXELS), drawn.labels.reshape(count, PAGE)
