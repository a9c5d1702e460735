"""Peer (b): MLServer's custom runtime around ONNX Runtime. Runs in MLServer's own environment: it imports nothing of
treadle, and finds `turns` beside itself.

`parameters.extra.queue_limit`: refuse with 503 while that many requests wait for the server; 0 for never.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from turns import QueueFullError, Turns  # type: ignore[import-not-found]

_DTYPES: dict[str, Any] = {
    "FP32": np.float32,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


@functools.cache
def _turns(limit: int) -> Turns:
    """The one queue of this process."""
    return Turns(limit)


class OnnxModel(MLModel):  # type: ignore[misc]
    """One tenant's session, with one thread as in peer (a)."""

    async def load(self) -> bool:
        """Make the session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        parameters = self.settings.parameters
        self._session = ort.InferenceSession(parameters.uri, options, providers=["CPUExecutionProvider"])
        self._limit = int((parameters.extra or {}).get("queue_limit", 0))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run on the event loop, which is fastest for models of tens of microseconds."""
        if self._limit:
            try:
                await _turns(self._limit).take()
            except QueueFullError:
                raise MLServerError("queue full", status_code=503) from None
        feeds = {
            tensor.name: np.array(tensor.data.root, _DTYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor in payload.inputs
        }
        outputs = self._session.run(None, feeds)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                ResponseOutput(
                    name=output.name, datatype=_NAMES[array.dtype], shape=list(array.shape), data=array.ravel().tolist()
                )
                for output, array in zip(self._session.get_outputs(), outputs, strict=True)
            ],
        )
