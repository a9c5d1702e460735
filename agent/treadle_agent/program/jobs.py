"""What the loader asks of its child process, and what the child answers.

The loader lives in the front end's process, which does not import ONNX Runtime for it: the child does.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

import msgspec

from treadle_agent.program.errors import ModelError
from treadle_agent.program.forkserver import follow_parent
from treadle_agent.program.limits import Limits, confine, explained, memory_message
from treadle_agent.program.model import Shape

LONGEST_MESSAGE, MOST_TRIPLES, LONGEST_NAME = 16_384, 1_000, 200
STATUS_BYTES = 1 << 20


class CompileJob(msgspec.Struct, frozen=True):
    """Compile `model` into the existing empty folder `into`; `alone`: what lies beside it is not its own."""

    model: str
    into: str
    model_sha256: str
    bindings: tuple[dict[str, Shape], ...]
    alone: bool = False


class BindJob(msgspec.Struct, frozen=True):
    """Compile the program of one more binding into an artifact folder."""

    folder: str
    shapes: dict[str, Shape]


Job = CompileJob | BindJob


class Status(msgspec.Struct, frozen=True):
    """What the child tells: nothing, or why it failed."""

    error: str = ""
    unsupported: tuple[tuple[str, int, str], ...] = ()


def work(sender: Connection, limits: Limits, job: Job) -> None:
    """Entry of the child process: do `job` under `limits` and send one Status."""
    from treadle_agent.program.compilation import bind_model, compile_model

    follow_parent()
    confine(limits)
    try:
        if isinstance(job, CompileJob):
            compile_model(job, limits)
        else:
            bind_model(job, limits)
        status = Status()
    except ModelError as error:
        # A hostile model chooses how many names it has, and how long they are.
        triples = ((name[:LONGEST_NAME], opset, type_) for name, opset, type_ in error.unsupported[:MOST_TRIPLES])
        status = Status(explained(str(error), limits)[:LONGEST_MESSAGE], tuple(triples))
    except MemoryError:
        status = Status(memory_message(limits))
    except OSError as error:
        status = Status(explained(f"the artifact cannot be written: {error}", limits))
    except Exception as error:  # noqa: BLE001  # whatever a library raises on hostile input is the model's fault
        message = explained(f"the model cannot be compiled: {type(error).__name__}: {error}", limits)
        status = Status(message[:LONGEST_MESSAGE])
    sender.send_bytes(msgspec.msgpack.encode(status))
