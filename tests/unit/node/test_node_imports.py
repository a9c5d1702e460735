"""What the front end's process holds: it starts whatever runs models, and does not load that itself."""

import subprocess
import sys

HEAVY = ("onnx", "onnxruntime", "treadle_agent.executor.worker")


def test_the_front_end_does_not_load_the_runtime_of_models():
    code = f"import sys, treadle_agent.__main__; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
