"""The demo's tenants: trained or fetched, written as ONNX files, with the inputs that will be sent to them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from treadle.demo.digits import Digits, load_digits, pages
from treadle.demo.files import FileTypeModel, sample_files
from treadle.demo.recipes import INPUT, OUTPUT, Recipe, Trained, convolutional, dense, open_session, train

SEED = 20  # of everything that is drawn
COPIES = 8  # tenants of one architecture
EXAMPLES = 800  # training digits of one tenant, of the 1,197 there are
PAGES_ASKED, DIGITS_ASKED, FILES_ASKED = 24, 240, 48  # different requests prepared for each tenant
TIMINGS = 15

# Service times on one core span three orders of magnitude, accuracies ten points.
PAGES = (
    Recipe("large", convolutional((112, 224), pool=2), ridge=0.01),
    Recipe("medium", convolutional((80, 80, 16), pool=4), ridge=0.01),
    Recipe("small", dense((40,), per_page=True), ridge=0.001),
)
DIGITS = (Recipe("only", dense((128, 128), per_page=False), ridge=0.001),)

Array = npt.NDArray[Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tier:
    """A model on disk: `accuracy` in percent of held-out inputs, `service`: seconds alone in ONNX Runtime."""

    name: str
    accuracy: float
    model: Path
    service: float


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant and its requests: `inputs` by tensor name, each with its rows' true labels.

    `family` groups tenants of one architecture; `deadline` in seconds; `tiers` from most to least accurate; `output`
    is the tensor whose argmax is the answer.
    """

    name: str
    family: str
    deadline: float
    tiers: tuple[Tier, ...]
    inputs: tuple[Mapping[str, Array], ...]
    labels: tuple[tuple[int, ...], ...]
    output: str


def train_tenants(folder: Path, progress: Progress) -> tuple[Tenant, ...]:
    """Train COPIES page readers of three tiers and COPIES digit readers of one; models go under `folder`.

    `progress` is told each model's name when it is there; what it raises ends the training.
    """
    train_digits, held_out = load_digits(SEED)
    random = np.random.default_rng(SEED)
    page_images, page_labels = pages(held_out, random, PAGES_ASKED)
    single = held_out.sample(random, DIGITS_ASKED)
    families = (
        ("pages", PAGES, page_images[:, None], page_labels),
        ("digits", DIGITS, single.images[:, None], single.labels[:, None]),
    )
    trained = _train_all(
        {
            (f"{family}-{copy}", recipe.name): partial(_train, recipe, copy, train_digits, held_out)
            for family, recipes, _, _ in families
            for copy in range(1, COPIES + 1)
            for recipe in recipes
        },
        progress,
    )
    tenants = []
    slowest = 0.0
    for family, recipes, images, labels in families:
        inputs = tuple({INPUT: image} for image in images)
        # The same for every tenant of the architecture.
        services = {
            recipe.name: _service(open_session(trained[f"{family}-1", recipe.name].model), inputs[0])
            for recipe in recipes
        }
        slowest = max(slowest, *services.values())
        for copy in range(1, COPIES + 1):
            name = f"{family}-{copy}"
            tiers = [
                _write_tier(recipe.name, trained[name, recipe.name], folder / name, services[recipe.name])
                for recipe in recipes
            ]
            tenants.append(
                Tenant(
                    name=name,
                    family=family,
                    deadline=round_up(15 * slowest if family == "pages" else 6 * slowest),
                    tiers=tuple(sorted(tiers, key=lambda tier: -tier.accuracy)),
                    inputs=inputs,
                    labels=tuple(tuple(map(int, row)) for row in labels),
                    output=OUTPUT,
                )
            )
    return tuple(tenants)


def file_tenant(model: FileTypeModel, roots: Sequence[Path]) -> Tenant:
    """The tenant that tells file types, asked about real files under `roots`."""
    samples = sample_files(model, roots, FILES_ASKED, SEED)
    session = open_session(model.path.read_bytes())
    right = sum(
        int(session.run(None, dict(features))[0].argmax()) == label
        for features, label in zip(samples.inputs, samples.labels, strict=True)
    )
    service = _service(session, samples.inputs[0])
    tier = Tier("only", 100.0 * right / len(samples.labels), model.path, service)
    return Tenant(
        name="files",
        family="files",
        deadline=round_up(15 * service),
        tiers=(tier,),
        inputs=samples.inputs,
        labels=tuple((label,) for label in samples.labels),
        output=model.output,
    )


def round_up(seconds: float) -> float:
    """A deadline as people write them: up to the next 10 ms, at least 40 ms."""
    return max(0.04, math.ceil(seconds * 100) / 100)


def _train_all(
    jobs: Mapping[tuple[str, str], Callable[[], Trained]], progress: Progress
) -> dict[tuple[str, str], Trained]:
    """The result of each job; a thread for each core, since ONNX Runtime and NumPy work outside the interpreter."""
    pool = ThreadPoolExecutor(os.cpu_count())
    with threadpool_limits(1, "blas"):  # whose own threads would wait for each other's cores
        try:
            pending = {key: pool.submit(job) for key, job in jobs.items()}
            results = {}
            for (name, tier), future in pending.items():
                results[name, tier] = future.result()
                progress(f"{name} {tier}")
            return results
        finally:
            pool.shutdown(cancel_futures=True)


def _train(recipe: Recipe, copy: int, train_digits: Digits, held_out: Digits) -> Trained:
    """A model of tenant number `copy`, which learns from digits of its own choice."""
    examples = train_digits.sample(np.random.default_rng((SEED, copy)), EXAMPLES)
    return train(recipe, examples, held_out, seed=copy)


def _write_tier(name: str, trained: Trained, folder: Path, service: float) -> Tier:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(trained.model)
    return Tier(name, 100 * trained.accuracy, path, service)


def _service(session: Any, inputs: Mapping[str, Array]) -> float:
    """The median of TIMINGS runs in time of this thread, which does all the work: a busy machine counts little."""
    times = []
    for _ in range(TIMINGS):
        begin = time.thread_time()
        session.run(None, dict(inputs))
        times.append(time.thread_time() - begin)
    return float(np.median(times))
