"""The tenants under load: the demo's page readers, once with automatic tiers and once for each tier alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from treadle.bench.switching.report import SWITCHING
from treadle.demo.digits import load_digits, pages
from treadle.demo.recipes import INPUT, OUTPUT, open_session, train
from treadle.demo.tenants import EXAMPLES, PAGES, PAGES_ASKED, SEED
from treadle.load.targets import Array, Target, infer_target


@dataclass(frozen=True, slots=True)
class TrainedTier:
    """A model on disk; `accuracy`: percent of the digits on the requests' own pages."""

    name: str
    accuracy: float
    path: Path


@dataclass(frozen=True, slots=True)
class Pages:
    """Requests of one page each: images by input name, and the digits on them."""

    inputs: tuple[dict[str, Array], ...]
    labels: tuple[tuple[int, ...], ...]

    def target(self, tenant: str) -> Target:
        """What is sent to a tenant, in turn."""
        return infer_target(tenant, self.inputs, binary=True, labels=self.labels, output=OUTPUT)


def train_tiers(folder: Path) -> tuple[tuple[TrainedTier, ...], Pages]:
    """Train the tiers, most accurate first, and draw the pages that they will be asked to read."""
    folder.mkdir(parents=True)
    train_digits, held_out = load_digits(SEED)
    random = np.random.default_rng(SEED)
    images, labels = pages(held_out, random, PAGES_ASKED)
    examples = train_digits.sample(np.random.default_rng((SEED, 1)), EXAMPLES)
    tiers = []
    for recipe in PAGES:
        model = train(recipe, examples, held_out, 1).model
        path = folder / f"{recipe.name}.onnx"
        path.write_bytes(model)
        (scores,) = open_session(model).run(None, {INPUT: images})
        tiers.append(TrainedTier(recipe.name, 100.0 * float(np.mean(scores.argmax(axis=-1) == labels)), path))
    asked = Pages(tuple({INPUT: image[None]} for image in images), tuple(tuple(map(int, row)) for row in labels))
    return tuple(sorted(tiers, key=lambda tier: -tier.accuracy)), asked


def tenant_name(contestant: str, deadline_ms: int) -> str:
    """The tenant that plays a contestant under a deadline."""
    return f"{contestant}-{deadline_ms}"


def contestants(tiers: Sequence[TrainedTier]) -> tuple[str, ...]:
    """`switching`, and each tier's name."""
    return (SWITCHING, *(tier.name for tier in tiers))


def write_manifests(folder: Path, tiers: Sequence[TrainedTier], deadlines_ms: Sequence[int]) -> dict[str, Path]:
    """A manifest for each contestant under each deadline; the model that answers each when idle, by tenant."""
    folder.mkdir()
    models = {}
    for deadline in deadlines_ms:
        for contestant in contestants(tiers):
            name = tenant_name(contestant, deadline)
            text = yaml.safe_dump(_manifest(name, contestant, tiers, deadline, folder), sort_keys=False)
            (folder / f"{name}.yaml").write_text(text)
            models[name] = next((tier.path for tier in tiers if tier.name == contestant), tiers[0].path)
    return models


def _manifest(
    name: str, contestant: str, tiers: Sequence[TrainedTier], deadline_ms: int, folder: Path
) -> dict[str, object]:
    automatic = contestant == SWITCHING
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": name},
        "spec": {
            "slo": {"deadline": f"{deadline_ms}ms", "objective": "99"},
            "tiers": [
                {
                    "name": tier.name,
                    "accuracy": f"{tier.accuracy:.4f}",
                    "model": {"uri": os.path.relpath(tier.path, folder)},
                }
                for tier in tiers
            ],
            "switching": {"mode": "Automatic"} if automatic else {"mode": "Pinned", "tier": contestant},
        },
    }
