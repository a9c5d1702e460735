"""The page of documentation about operators: ``python -m treadle_agent.program.ops.reference FILE`` writes it."""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from pathlib import Path

from treadle_agent.program import ops
from treadle_agent.program.ops.registry import NORMALISE, Operator

PAGE = "docs/reference/operators.md"
OLDEST_OPSET = 11

_HEAD = f"""\
<!-- Written by `python -m treadle_agent.program.ops.reference {PAGE}`; change the operators instead. -->

# Operators

What treadle executes of ONNX's own operators (domain `ai.onnx`, opset {OLDEST_OPSET} and newer). *Versions* are the
since-versions of an operator; a newer one is declined rather than guessed. Element types are float32 where nothing
else is said; *every type* means float32, int32, int64, uint8 and bool. All shapes must be known once the shapes of a
model's inputs are. `If` is served where its condition is known at load. A model that asks for anything else is refused
when it is loaded, with a list of all that is missing.
"""


def markdown() -> str:
    """The page: a table of operators for each family, from the table that the loader uses."""
    assert ops.__all__  # importing the package fills the table
    families: dict[str, dict[str, Operator]] = defaultdict(dict)
    for name, entry in sorted(NORMALISE.items()):
        families[entry.normalise.__module__].setdefault(name, entry)
    parts = [_HEAD]
    for module, entries in sorted(families.items()):
        title, _, _ = (inspect.getdoc(sys.modules[module]) or "").partition("\n\n")
        parts.append(f"\n## {module.rpartition('.')[2].replace('_', ' ').capitalize()}\n\n{title}\n\n")
        parts.append("| operator | versions | remarks |\n| --- | --- | --- |\n")
        for name, entry in entries.items():
            versions = ", ".join(map(str, _versions(name, entry)))
            remarks = " ".join((inspect.getdoc(entry.normalise) or "").split())
            parts.append(f"| [{name}](https://onnx.ai/onnx/operators/onnx__{name}.html) | {versions} | {remarks} |\n")
    return "".join(parts)


def _versions(name: str, entry: Operator) -> list[int]:
    """The since-versions that are in force in some opset from the oldest one on."""
    import onnx.defs  # the executor imports this package too, and never comes here

    every = [one for one in onnx.defs.get_all_schemas_with_history() if one.domain == "" and one.name == name]
    known = sorted(one.since_version for one in every if not one.deprecated and one.since_version in entry.versions)
    first = max((one for one in known if one <= OLDEST_OPSET), default=OLDEST_OPSET)
    return [one for one in known if one >= first]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown())
