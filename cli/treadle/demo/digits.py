"""The demo's real input: scikit-learn's handwritten digits, offline. A request is a page of them."""

from __future__ import annotations

from dataclasses import dataclass
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
    from sklearn.datasets import load_digits as load  # half a second to import

    dataset = load()
    order = np.random.default_rng(seed).permutation(len(dataset.target))
    images = (dataset.data[order] / 16.0).astype(np.float32)
    labels = dataset.target[order].astype(np.int64)
    held_out, train = slice(None, HELD_OUT), slice(HELD_OUT, None)
    return Digits(images[train], labels[train]), Digits(images[held_out], labels[held_out])


def pages(digits: Digits, random: np.random.Generator, count: int) -> tuple[Array, Array]:
    """`count` pages: images (count, PAGE, PIXELS) and labels (count, PAGE)."""
    drawn = digits.sample(random, count * PAGE)
    return drawn.images.reshape(count, PAGE, PIXELS), drawn.labels.reshape(count, PAGE)
