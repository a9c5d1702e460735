"""`treadle top` and what kubectl prints tell of a real cluster the same, while it serves and when it cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bed import deployment
from bed.cluster import TREE, Cluster
from bed.program import Program
from treadle.__main__ import main
from treadle.top.columns import NOTHING, TENANTS

TITLES = {column.title.upper(): column.title for column in TENANTS} | {"NAME": "Tenant"}

# Of an Event's reason, the column whose condition has turned, and to what.
TURNS = {
    "Admitted": ("Admitted", "True"),
    "NotAdmitted": ("Admitted", "False"),
    "Ready": ("Ready", "True"),
    "NotReady": ("Ready", "False"),
    "SLOMet": ("SLO met", "True"),
    "SLOMissed": ("SLO met", "False"),
    "AccuracyMet": ("Accuracy met", "True"),
    "AccuracyMissed": ("Accuracy met", "False"),
}
BEST = "deep"  # of the example's tiers


def table_of(text: str) -> list[dict[str, str]]:
    """What kubectl printed, by its titles; what it has not, as top writes that."""
    head, *lines = text.splitlines()
    titles = [(found.group(), found.start()) for found in re.finditer(r"\S+(?: \S+)*", head)]
    ends = [start for _, start in titles[1:]] + [None]
    return [
        {
            title: NOTHING if (cell := line[start:end].strip()) in {"", "<none>"} else cell
            for (title, start), end in zip(titles, ends, strict=True)
        }
        for line in lines
    ]


def rows_of(text: str) -> dict[str, dict[str, str]]:
    """The columns of kubectl's that are top's, too, by tenant."""
    rows = [{TITLES[title]: cell for title, cell in row.items() if title in TITLES} for row in table_of(text)]
    return {row.pop("Tenant"): row for row in rows}


def events_of(text: str) -> list[tuple[str, str, str]]:
    """Type, reason and message of each Event that `kubectl describe` tells, oldest first."""
    found = re.search(r"^Events:\n +Type .*\n +---- .*\n((?: +.*\n)+)", text, re.MULTILINE)
    cells = [re.split(r"  +", line.strip(), maxsplit=4) for line in found.group(1).splitlines()] if found else []
    return [(kind, reason, message) for kind, reason, _, _, message in cells]


def test_top_tells_what_kubectl_tells(
    clean_cluster: Cluster,
    namespace: str,
    tmp_path: Path,
    started: Callable[[Program], Program],
    eventually: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster = clean_cluster
    cluster.apply_rbac()
    subprocess.run([sys.executable, TREE / "examples/make_models.py", tmp_path / "models"], timeout=120, check=True)
    started(deployment.operator(cluster, "operator"))
    agent = deployment.agent(cluster, "node-a", folder=tmp_path)
    started(agent.program)
    cluster.kubectl("apply", "-n", namespace, "-f", TREE / "examples/under-load.yaml")
    tier = {"name": "only", "accuracy": "86.5", "model": {"uri": "models/nowhere.onnx"}}
    cluster.apply(
        {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": "absent"},
            "spec": {"slo": {"deadline": "1s", "objective": "99.5", "minAccuracy": "80"}, "tiers": [tier]},
        },
        "-n",
        namespace,
    )
    cluster.kubectl("wait", "it/under-load", "--for=condition=Ready", "--timeout=90s", "-n", namespace, seconds=100.0)
    cluster.kubectl("wait", "inode/node-a", "--for=condition=Ready", "--timeout=30s", seconds=60.0)
    options = ("--rate", "60", "--rows", "2", "--seconds", "200")
    command = (sys.executable, TREE / "examples/load.py", agent.url, "under-load", *options)
    started(cluster.program("load", *command))

    def top(*options: str) -> tuple[int, str]:
        code = main(["top", "--once", "--kubeconfig", str(cluster.kubeconfig), "-n", namespace, *options])
        return code, capsys.readouterr().out

    def merge_told() -> str:
        """The merge factor of the one device, as kubectl shows it."""
        [node] = table_of(cluster.kubectl("get", "inode", "-o", "wide"))
        return node["MERGE"]

    def described(name: str) -> dict[str, str]:
        """What `kubectl describe` tells, by fields' names without capitals and spaces; of a condition, its reason."""
        text = cluster.kubectl("describe", "it", name, "-n", namespace)
        lines = re.findall(r"^ +(\w[\w ]*):  +(\S.*)$", text, re.MULTILINE)
        told = {words.replace(" ", "").lower(): value for words, value in lines}
        reasons = re.findall(r"^ +Reason: +(\S+)\n +Status: +\S+\n +Type: +(\S+)$", text, re.MULTILINE)
        return told | {type_: reason for reason, type_ in reasons}

    def events_agree(name: str, wanted: dict[str, str], row: dict[str, Any]) -> None:
        """The last Event of each column tells what is in it, and of what is not so, top's reason and the status's."""
        told = events_of(cluster.kubectl("describe", "it", name, "-n", namespace))
        assert told, f"{name} has no Event"
        last = {TURNS[reason][0]: (kind, *TURNS[reason], text) for kind, reason, text in told if reason in TURNS}
        conditions = cluster.get("it", name, "-n", namespace)["status"]["conditions"]
        notes = {note["column"]: note["reason"] for note in row["notes"]}
        for kind, column, value, text in last.values():
            assert (wanted[column], kind) == (value, "Normal" if value == "True" else "Warning"), told
            assert (column in notes) == (value != "True"), told
            [now] = [one for one in conditions if one["type"].lower() == column.replace(" ", "").lower()]
            assert text.partition(":")[0] == now["reason"] == notes.get(column, now["reason"]), told
        given_up = [reason for _, reason, _ in told if reason in ("Degraded", "Restored")]
        assert (given_up[-1:] == ["Degraded"]) == (wanted["Tier"] not in (BEST, NOTHING)), told
        assert ("Ready" if name == "under-load" else "Admitted") in last, told

    def agree() -> bool:
        """Figures move: all are asked until no status is written in between."""
        said, merged = cluster.kubectl("get", "it", "-o", "wide", "-n", namespace), merge_told()
        told, why = described("under-load"), described("absent")
        code, document = top("--json")
        _, printed = top()
        wanted, rows = rows_of(said), {row["name"]: row for row in json.loads(document)["tenants"]}
        assert rows_of(cluster.kubectl("get", "it", "-o", "wide", "-n", namespace)) == wanted
        assert wanted["under-load"]["P99"] != NOTHING, said
        assert len(wanted["under-load"]) == 12, said
        for title, field in {"P99": "p99", "Tier": "activetier", "Accuracy": "effectiveaccuracy"}.items():
            assert told[field] == wanted["under-load"][title], told
        assert (told["Ready"], why["Admitted"]) == ("Serving", "ModelNotFound")
        assert (code, rows.keys()) == (1, wanted.keys())
        for name, row in rows.items():
            shown = re.split(r"\s+", next(line for line in printed.splitlines() if f" {name} " in line))
            assert [cell for cell in wanted[name].values() if cell not in shown] == [], printed + said
            seen = {"Tier": row["activeTier"], "SLO met": row["sloMet"], "Accuracy met": row["accuracyMet"]}
            seen |= {"Admitted": row["admitted"], "Ready": row["ready"]}
            events_agree(name, wanted[name], row)
            assert seen.items() <= {title: cell.replace(NOTHING, "") for title, cell in wanted[name].items()}.items()
        assert (rows["under-load"]["devices"], rows["absent"]["devices"]) == (["node-a/host"], [])
        assert re.search(rf"^! +{namespace} +absent .*Admitted: ModelNotFound", printed, re.MULTILINE), printed
        [device] = json.loads(document)["devices"]
        assert merge_told() == merged, "it was written in between"
        assert float(merged) == device["mergeFactor"] >= 1.0, printed
        assert re.search(rf"^ +node-a/host +True +\S+ +{re.escape(merged)} ", printed, re.MULTILINE), printed
        return True

    eventually(agree, seconds=90)


def test_a_namespace_that_is_not_there_is_told_from_an_empty_one(
    clean_cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["top", "--once", "--kubeconfig", str(clean_cluster.kubeconfig), "-n"]
    assert main([*words, namespace]) == 0
    assert f"namespace {namespace}: 0 tenants" in capsys.readouterr().out
    assert main([*words, "nope"]) == 2
    assert "treadle top: there is no namespace nope" in capsys.readouterr().err


def test_who_may_not_look_is_told_what_is_needed(
    clean_cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clean_cluster.kubectl("create", "serviceaccount", "nobody", "-n", namespace)
    kubeconfig = clean_cluster.kubeconfig_for("nobody", namespace)
    assert main(["top", "--once", "--kubeconfig", str(kubeconfig), "-n", namespace]) == 2
    said = capsys.readouterr().err
    assert "inferencetenants" in said
    assert f"you need the ClusterRole view in namespace {namespace}" in said
