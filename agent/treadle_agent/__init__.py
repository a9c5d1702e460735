"""The node agent: one front end and one executor process per device serve every tenant placed on this machine."""

import os

# Read when ONNX Runtime is imported, so it is set before anything of ours can import it: its wheels report to their
# maker unless told not to, from a thread of their own, which a fork would tear (onnxruntime/Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
