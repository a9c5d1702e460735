"""From an untrusted ONNX file to a checked program of kernels with static shapes."""
