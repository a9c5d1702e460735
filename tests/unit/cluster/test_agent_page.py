"""docs/agent.md names every reason that there is."""

from __future__ import annotations

import re
from pathlib import Path

from treadle_api.replica import LoadedReason

PAGE = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()


def test_the_reasons_of_loaded_are_those_that_agents_say() -> None:
    row = re.search(r"^\| `Loaded` \| (.*) \|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row[1])) == set(LoadedReason)
