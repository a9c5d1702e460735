"""What Prometheus reads: groups of rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Rule = Json


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another."""

    name: str
    rules: list[Rule]

    def document(self) -> Json:
        """As a rule file has it."""
        return {"name": self.name, "rules": self.rules}
