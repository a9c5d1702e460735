"""docs/install.md: what it has an administrator type, and a values file that it shows."""

from __future__ import annotations

import re
from typing import Any

import yaml

from bed import page
from bed.cluster import TREE
from bed.helm import Values

PAGE = TREE / "docs" / "install.md"
VALUES_FILE = "my-values.yaml"  # as the page calls it
WITHOUT_GPUS = "Without GPUs, on all Linux nodes:"

# What is not as the page has it, how often that stands there, and why.
SUBSTITUTIONS = (
    ("registry.example/", 2, "localhost/"),  # there is no registry: the node was given the images under such names
    ('{cpu: "2", memory: 4Gi}', 1, "{cpu: 100m, memory: 1Gi}"),  # two agents, during an update, on two cores in all
)
# What the page leaves at its default.
MORE: Values = {"operator": {"resources": {"requests": {"cpu": "50m"}}}, "agent": {"leaveSeconds": 10}}


def first_lines() -> list[str]:
    """Those that install the chart, which the page begins with."""
    return page.lines(page.blocks(PAGE, "sh|console")[0])


def line(first: str) -> str:
    """The page's one line that begins with these words."""
    typed = [line for block in page.blocks(PAGE, "sh|console") for line in page.lines(block)]
    [found] = [line for line in typed if line.startswith(first)]
    return found


def values(agent: Values) -> Values:
    """The page's first values file, with `agent`'s values, by which agents have models.

    Raises:
        AssertionError: what is substituted does not stand there, or one of the page's own values would be changed.
    """
    [text] = re.findall(rf"^{WITHOUT_GPUS}\n\n```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for there, count, here in SUBSTITUTIONS:
        assert text.count(there) == count, f"under {WITHOUT_GPUS!r} {PAGE.name} has not {count} × {there!r}"
        text = text.replace(there, here)
    return _joined(_joined(yaml.safe_load(text), MORE), {"agent": agent})


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = one | other
    for key in one.keys() & other.keys():
        assert isinstance(one[key], dict), f"{key} is the page's"
        both[key] = _joined(one[key], other[key])
    return both
