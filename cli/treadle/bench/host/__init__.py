"""`treadle bench host`: the executor's own work on this machine's processor beside plain ONNX Runtime sessions."""
