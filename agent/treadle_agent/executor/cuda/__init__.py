"""A GPU as a device, through CuPy: own kernels, and the one package that may import `cupy`."""
