"""What the tuner found of a model's kernels: the same measurements that serving it here keeps and goes by."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.profile.models import Model, UnprofiledError
from treadle.profile.report import KernelRow
from treadle_agent.cache import cache_folder
from treadle_agent.executor.cuda.lowering import UnsupportedOnGpuError
from treadle_agent.executor.cuda.program import GpuProgram
from treadle_agent.executor.cuda.tuner import GpuTuner
from treadle_agent.executor.kept_tuner import KeptTuner
from treadle_agent.executor.tuner import Profile, Tuner
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_api.tenant import Precision

ENOUGH = 1.05  # as for simulated GPUs
NONE = "–"


def kept(tuner: Tuner) -> KeptTuner:
    """A device's tuner with what is kept of it on this machine."""
    return KeptTuner(tuner, TuningCache(cache_folder() / "tuning", tuner.identity))


def rows(model: Model, tuner: GpuTuner) -> Iterator[KernelRow]:
    """One row for each distinct launch on a GPU, in order of first use. Measures what is not kept.

    Raises:
        UnprofiledError: the GPU cannot run the model.
    """
    if model.artifact.kernels_refused:
        raise UnprofiledError(f"{model.name}: a GPU runs programs only: {model.artifact.kernels_refused}")
    slab = tuner.slab(model.artifact.weights, model.artifact.weight_bytes, Precision.FLOAT32)
    try:
        profile = kept(tuner).merged(model.program, slab, model.folder / "weights.bin")
    except UnsupportedOnGpuError as error:
        raise UnprofiledError(f"{model.name}: {error}") from error
    assert profile is not None, "a GPU has no other way"
    body = tuner.body(model.program, slab, 1, profile)
    found: dict[tuple[str, ...], list[int]] = {}
    for index in range(body.length):
        found.setdefault(_told(body, profile, index), []).append(index)
    problems = _enough(profile)
    for (signature, implementation, greedy, collaborative), kernels in found.items():
        share = sum(profile.shares[one + 1] - profile.shares[one] for one in kernels) / len(kernels)
        yield KernelRow(
            model=model.name, signature=signature, count=len(kernels), implementation=implementation,
            greedy_tile=greedy, collaborative_tile=collaborative, problems=problems,
            alone_seconds=share * profile.per_request(1), shared_seconds=share * profile.per_request(problems),
        )  # fmt: skip


def _told(body: GpuProgram, profile: Profile, index: int) -> tuple[str, str, str, str]:
    """Signature, implementation, greedy and collaborative tile of a launch."""
    if index in profile.library:
        return body.signatures[index], "cuBLAS", NONE, NONE
    tiles = ((one, other) for kernel, one, other in profile.tiles if kernel == index)
    greedy, collaborative = next(tiles, (NONE, NONE))
    return body.signatures[index], "own", greedy.replace("x", "×"), collaborative.replace("x", "×")


def _enough(profile: Profile) -> int:
    """The number of problems, of those that were measured, from which more gain little."""
    each = {problems: profile.per_request(problems) for problems, _ in profile.points}
    return next(problems for problems, seconds in each.items() if seconds <= ENOUGH * min(each.values()))
