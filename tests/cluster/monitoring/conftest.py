"""Prometheus and promtool, as they are built beside the control plane."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
import yaml

from bed.cluster import TREE

Labels = Mapping[str, str]
Fires = Callable[..., None]


@pytest.fixture(scope="session")
def rules() -> Path:
    """The chart's rules."""
    return TREE / "charts" / "treadle" / "files" / "monitoring" / "rules.yaml"


@pytest.fixture(scope="session")
def annotations(rules: Path) -> dict[str, dict[str, str]]:
    """The annotations of each alert, by its name."""
    groups = yaml.safe_load(rules.read_text())["groups"]
    return {rule["alert"]: rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule}


@pytest.fixture
def fires(binaries: Path, rules: Path, tmp_path: Path, annotations: dict[str, dict[str, str]]) -> Fires:
    """Holds promtool to which alerts fire of series, with their labels and texts; all others are silent."""

    def check(
        series: Mapping[str, str],
        expected: Iterable[tuple[str, Labels]],
        minute: int,
        *,
        interval: int = 1,
        evaluation: int = 1,
    ) -> None:
        """`minute`: when; `interval`: minutes between samples; `evaluation`: and between looks at the rules."""
        document = {
            "rule_files": [str(rules)],
            "evaluation_interval": f"{evaluation}m",
            "tests": [
                {
                    "interval": f"{interval}m",
                    "input_series": [{"series": name, "values": values} for name, values in series.items()],
                    "alert_rule_test": [
                        {
                            "alertname": name,
                            "eval_time": f"{minute}m",
                            "exp_alerts": [_firing(texts, labels) for fired, labels in expected if fired == name],
                        }
                        for name, texts in annotations.items()
                    ],
                }
            ],
        }
        path = tmp_path / "rules_test.json"
        path.write_text(json.dumps(document))
        done = subprocess.run(
            [binaries / "promtool", "test", "rules", path], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


def _firing(texts: Labels, labels: Labels) -> dict[str, Labels]:
    def fill(text: str) -> str:
        return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], text)

    return {"exp_labels": labels, "exp_annotations": {key: fill(text) for key, text in texts.items()}}
