"""Model to artifact folder, through a real child process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from treadle_agent.program import segments
from treadle_agent.program.artifact import Artifact, binding_key, read_artifact, read_program
from treadle_agent.program.compilation import read_weights
from treadle_agent.program.errors import ModelError
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.loader import Loader

Mlp = Callable[..., Path]


def reference(model: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def random(rows: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((rows, 16), dtype=np.float32)


def test_an_artifact_holds_what_the_executor_needs(loader: Loader, mlp: Mlp) -> None:
    model = mlp()
    folder = loader.compile(model)
    artifact = read_artifact(folder)
    assert artifact.batchable
    assert artifact.kernels_refused == ""
    assert [one.shape for one in (*artifact.inputs, *artifact.outputs)] == [(-1, 16), (-1, 4)]
    assert (folder / "weights.bin").stat().st_size == artifact.weight_bytes
    program = read_program(folder, binding_key({"x": (1, 16)}))
    assert program is not None
    assert program.architecture == artifact.architecture
    x = random(1)
    results = Interpreter(program, read_weights(folder, artifact)).run({"x": x})
    np.testing.assert_allclose(results["y"], reference(model, x), rtol=1e-5)


def test_segments_run_any_number_of_rows(loader: Loader, mlp: Mlp) -> None:
    model = mlp()
    folder = loader.compile(model)
    (segment,) = read_artifact(folder).segments
    session = segments.open_segment(folder, segment)
    x = random(5)
    np.testing.assert_allclose(session.run(segment.outputs, {"x": x})[0], reference(model, x), rtol=1e-6)


def test_weights_that_are_inputs_too_are_constants(loader: Loader, mlp: Mlp) -> None:
    model = onnx.load_model(path := mlp())
    model.ir_version = 3  # under which every initializer must be an input
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer
    )
    onnx.save_model(model, path)
    folder = loader.compile(path)
    artifact = read_artifact(folder)
    assert [one.name for one in artifact.inputs] == ["x"]
    program = read_program(folder, binding_key({"x": (1, 16)}))
    assert program is not None
    x = random(1)
    expected = reference(path, x)
    results = Interpreter(program, read_weights(folder, artifact)).run({"x": x})
    np.testing.assert_allclose(results["y"], expected, rtol=1e-5)
    (segment,) = artifact.segments
    session = segments.open_segment(folder, segment)
    np.testing.assert_allclose(session.run(segment.outputs, {"x": x})[0], expected, rtol=1e-6)


def test_further_bindings_share_the_weights(loader: Loader, mlp: Mlp) -> None:
    model = mlp()
    folder = loader.compile(model)
    artifact = read_artifact(folder)
    program = loader.bind(folder, {"x": (8, 16)})
    assert program.weights == tuple(one.type for one in artifact.weights)
    x = random(8)
    results = Interpreter(program, read_weights(folder, artifact)).run({"x": x})
    np.testing.assert_allclose(results["y"], reference(model, x), rtol=1e-5)
    assert loader.bind(folder, {"x": (8, 16)}) == program


def test_a_binding_that_does_not_fit_names_the_input(loader: Loader, mlp: Mlp) -> None:
    folder = loader.compile(mlp())
    with pytest.raises(ModelError, match=r"x: shape \[8, 15\] does not fit the declared \[-1, 16\]"):
        loader.bind(folder, {"x": (8, 15)})
    with pytest.raises(ModelError, match="the shape of each of the inputs"):
        loader.bind(folder, {"z": (8, 16)})


def test_bindings_are_compiled_at_once_when_given(loader: Loader, mlp: Mlp) -> None:
    folder = loader.compile(mlp(), [{"x": (4, 16)}])
    assert read_program(folder, "x=4x16") is not None


def test_tenants_of_one_architecture_get_one_digest(loader: Loader, mlp: Mlp) -> None:
    first, second, wider = (
        read_artifact(loader.compile(mlp(widths, seed, f"m{seed}")))
        for widths, seed in (((16, 8, 4), 0), ((16, 8, 4), 1), ((16, 9, 4), 2))
    )
    assert first.architecture == second.architecture != wider.architecture
    assert first.model_sha256 != second.model_sha256


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())}


def test_a_finished_folder_is_reused(loader: Loader, mlp: Mlp, tmp_path: Path) -> None:
    folder = loader.compile(mlp())
    before = contents(folder)
    assert Loader(tmp_path / "cache").compile(mlp(name="the-same-elsewhere")) == folder
    assert contents(folder) == before


@pytest.mark.parametrize("victim", ["weights.bin", "artifact.json", "segment-0.onnx", "program-x=1x16.json"])
@pytest.mark.parametrize("damage", ["remove", "truncate", "flip"])
def test_a_damaged_folder_is_rebuilt(loader: Loader, mlp: Mlp, victim: str, damage: str) -> None:
    folder = loader.compile(mlp())
    path = folder / victim
    data = path.read_bytes()
    match damage:
        case "remove":
            path.unlink()
        case "truncate":
            path.write_bytes(data[: len(data) // 2])
        case "flip":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert loader.compile(mlp()) == folder
    assert len(path.read_bytes()) == len(data)
    assert isinstance(read_artifact(folder), Artifact)


def test_a_damaged_further_binding_is_recompiled(loader: Loader, mlp: Mlp) -> None:
    folder = loader.compile(mlp())
    program = loader.bind(folder, {"x": (2, 16)})
    (folder / "program-x=2x16.json").write_bytes(b"{")
    assert loader.bind(folder, {"x": (2, 16)}) == program


def test_many_may_compile_the_same_model_at_once(loader: Loader, mlp: Mlp, tmp_path: Path) -> None:
    model = mlp()
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: loader.compile(model), range(4)))
    assert len(folders) == 1
    assert [path for path in (tmp_path / "cache").iterdir() if path not in folders] == []


def test_what_a_killed_caller_left_is_swept(loader: Loader, mlp: Mlp, tmp_path: Path) -> None:
    old, new = (tmp_path / "cache" / f".work-{age}" / "artifact" for age in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old.parent, (0, 0))
    loader.compile(mlp())
    assert not old.parent.exists()
    assert new.exists()


def test_a_model_with_changed_external_data_is_another_model(loader: Loader, tmp_path: Path, mlp: Mlp) -> None:
    import onnx

    home = tmp_path / "home"
    home.mkdir()
    artifacts = []
    for seed in (0, 1):
        whole = onnx.load_model(mlp((16, 32, 4), seed))
        onnx.save_model(whole, home / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
        artifacts.append(read_artifact(loader.compile(home / "m.onnx")))
        (home / "m.bin").unlink()
    assert artifacts[0].model_sha256 == artifacts[1].model_sha256
    assert artifacts[0].external != artifacts[1].external
    assert artifacts[0].checksums["weights.bin"] != artifacts[1].checksums["weights.bin"]


def test_children_do_not_import_the_callers_main_module(tmp_path: Path, mlp: Mlp) -> None:
    script = tmp_path / "caller.py"
    script.write_text(
        "import sys\n"
        "print('imported as', __name__, flush=True)\n"
        "from pathlib import Path\n"
        "from treadle_agent.program.loader import Loader\n"
        "print(Loader(Path(sys.argv[1])).compile(Path(sys.argv[2])).name)\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "other"), str(mlp())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("imported as") == 1
