"""ONNX models in the place where a server looks for them: one that does what it should, or what a test made."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto
from scaling_model import scaling_model

from hostile.tenants import WIDTH


def scale(factor: float) -> ModelProto:
    """y = factor · x, of the tenants' width."""
    return scaling_model(factor, WIDTH)


def write(path: Path, model: ModelProto) -> None:
    """Put it into the place of what is there, in one step."""
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(model.SerializeToString())
    draft.rename(path)
