"""What kernels read from device memory besides tensors: the layouts of the structs in `kernels/`."""

from __future__ import annotations

import numpy as np

# struct Matrices of gemm.cu: one problem of a product; addresses, extents, strides in elements.
MATRICES = np.dtype(
    [
        *((name, np.uint64) for name in ("a", "b", "c", "bias")),
        *((name, np.int32) for name in ("m", "n", "k")),
        *((f"{name}_{axis}", np.int32) for name in ("a", "b", "c", "bias") for axis in ("row", "column")),
        ("alpha", np.float32),
        ("beta", np.float32),
        ("reserved", np.int32),
    ]
)

# struct Shape of convolution.cu
SHAPE = np.dtype(
    [
        (name, np.int32)
        for name in (
            *("samples", "channels", "height", "width"),
            *("filters", "out_height", "out_width", "groups"),
            *("kernel_height", "kernel_width", "stride_height", "stride_width"),
            *("dilation_height", "dilation_width", "before_height", "before_width"),
        )
    ]
)

# struct Tensors of convolution.cu: the addresses of one problem
TENSORS = np.dtype([(name, np.uint64) for name in ("data", "weight", "bias", "result")])

# What generated kernels know of one problem: the addresses of its slot and of its slab row
PLACE = np.dtype([("slot", np.uint64), ("row", np.uint64)])
