"""`treadle top` and `kubectl get it -o wide` say the same by the same words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_objects import cases
from operator_objects import make_device, make_node, make_replica, make_tenant, view_tenant

from treadle.top.columns import NOTHING, TENANTS
from treadle.top.objects import device_rows, tenant_row
from treadle.top.view import Note
from treadle_operator.kube.views import read_tenant_view

CRDS = Path(__file__).parents[3] / "crds"
NOT_LIVE = {"URL", "Age"}  # who watches does not call it, and knows when it was made
CELLS = {column.title: column.cell for column in TENANTS}


def printed() -> dict[str, str]:
    """What kubectl prints: the column's name and the path of the field that it shows."""
    definition = yaml.safe_load((CRDS / "inferencetenants.treadle.dev.yaml").read_text())
    [version] = definition["spec"]["versions"]
    return {column["name"]: column["jsonPath"] for column in version["additionalPrinterColumns"]}


COLUMNS = {name: path for name, path in printed().items() if name not in NOT_LIVE}


def whole(status: str) -> dict[str, Any]:
    """A tenant with every field and all conditions, as the API server would give it."""
    [case] = (one for one in cases() if one.definition.startswith("inferencetenants"))
    manifest = case.changed({})
    manifest["metadata"] |= {"uid": "1", "creationTimestamp": "2026-11-22T20:30:00Z", "generation": 3}
    [condition] = manifest["status"]["conditions"]
    types = ("Admitted", "Ready", "SLOMet", "AccuracyMet", "Straggling")
    manifest["status"]["conditions"] = [condition | {"type": type_, "status": status} for type_ in types]
    return manifest


def field(manifest: Any, path: str) -> Any:
    """What a printer column's JSON path leads to; None where there is nothing."""
    for key, type_ in re.findall(r"\.(\w+)(?:\[\?\(@\.type==\"(\w+)\"\)\])?", path):
        manifest = (manifest or {}).get(key)
        if type_:
            manifest = next((one for one in manifest or () if one["type"] == type_), None)
    return manifest


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("status", ["True", "False", "Unknown"])
def test_a_column_of_kubectls_name_shows_kubectls_field(name: str, status: str) -> None:
    manifest = whole(status)
    wanted = field(manifest, COLUMNS[name])
    assert wanted is not None
    assert CELLS[name](tenant_row(read_tenant_view(manifest), ())) == str(wanted)


def test_a_tenant_of_which_nothing_is_known_yet() -> None:
    manifest = whole("True")
    del manifest["status"]
    row = tenant_row(read_tenant_view(manifest), ())
    of_status = [name for name, path in COLUMNS.items() if path.startswith(".status")]
    assert {name: CELLS[name](row) for name in of_status if name != "Replicas"} == dict.fromkeys(
        (name for name in of_status if name != "Replicas"), NOTHING
    )
    assert (row.broken, row.notes) == (False, ())


def test_what_is_wrong_is_told_with_the_conditions_reason() -> None:
    row = tenant_row(read_tenant_view(whole("False")), ())
    assert row.broken
    wrong = ("Admitted", "Ready", "SLO met", "Accuracy met")
    assert row.notes == tuple(Note(column, "DeadlineInfeasible") for column in wrong)
    slow = whole("True")
    slow["status"]["conditions"][-1]["reason"] = "Slow"
    straggler = tenant_row(read_tenant_view(slow), ())
    assert (straggler.broken, straggler.notes) == (False, (Note("Straggling", "Slow"),))


def test_replicas_tell_devices_and_tiers() -> None:
    view = view_tenant(make_tenant("a"))
    serving = [make_replica(view, "n1/0", tier="b"), make_replica(view, "n0/0", tier="a")]
    loading = make_replica(view, "n2/0", serving=False)
    row = tenant_row(view, [*serving, loading])
    assert row.devices == ("n0/0", "n1/0")
    assert row.tiers == {"b": 0.5, "a": 0.5}
    busy = make_device(utilisation=0.4, used=7, merge_factor=3.5)
    faulty = make_device("1", healthy=False, reason="XID 79")
    rows = device_rows([make_node("n1").node, make_node("n0", (busy, faulty)).node], [*serving, loading])
    assert [(one.place, one.healthy, one.busy, one.merge_factor, one.tenants, one.reason) for one in rows] == [
        ("n0/0", True, 0.4, 3.5, 1, ""),
        ("n0/1", False, 0.0, None, 0, "XID 79"),
        ("n1/0", True, 0.0, None, 1, ""),
    ]
    [silent] = device_rows([make_node("n2", alive=False).node], [])
    assert (silent.healthy, silent.reason) == (False, "its agent is not heard of")
