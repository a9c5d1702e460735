"""`python -m monitoring FOLDER`: writes the rules and the dashboards into a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from monitoring.alerts import alert_groups
from monitoring.dashboards import DASHBOARDS
from monitoring.slo import recording_groups

RULES_HEADER = "# Written by `make chart-files` from charts/monitoring; any Prometheus takes it as a rule file.\n"


def write(folder: Path) -> None:
    """Write all files, and no others stay."""
    groups = [group.document() for group in [*recording_groups(), *alert_groups()]]
    (folder / "dashboards").mkdir(parents=True, exist_ok=True)
    for old in (folder / "dashboards").glob("*.json"):
        old.unlink()
    text = yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)
    (folder / "rules.yaml").write_text(RULES_HEADER + text)
    for dashboard in DASHBOARDS:
        text = json.dumps(dashboard.document(), indent=1)
        (folder / "dashboards" / f"{dashboard.uid}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
