"""`treadle bench memory`: many distinct large models in one executor, beside as many ONNX Runtime sessions."""
