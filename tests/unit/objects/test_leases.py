"""With whom a Lease goes: the service account of whoever holds it, where that lies beside it."""

from __future__ import annotations

import pytest

from treadle_api.fields import FieldError
from treadle_api.leases import lease_owners


def review(username: str, uid: str | None = "a-uid") -> dict[str, object]:
    return {"status": {"userInfo": {"username": username, "groups": ["system:authenticated"], "uid": uid}}}


def test_a_service_account_of_its_namespace_owns_it():
    [owner] = lease_owners(review("system:serviceaccount:treadle-system:treadle-agent"), "treadle-system")
    assert owner == {"apiVersion": "v1", "kind": "ServiceAccount", "name": "treadle-agent", "uid": "a-uid"}


@pytest.mark.parametrize(
    ("username", "uid"),
    [
        ("system:serviceaccount:elsewhere:treadle-agent", "a-uid"),  # an owner lies in the same namespace
        ("system:serviceaccount:treadle-system-2:treadle-agent", "a-uid"),
        ("system:serviceaccount:treadle-system:treadle-agent", None),
        ("kubernetes-admin", None),
        ("system:node:node-a", "a-uid"),
    ],
)
def test_nobody_else_does(username: str, uid: str | None):
    assert lease_owners(review(username, uid), "treadle-system") == []


def test_what_is_no_answer_is_said():
    with pytest.raises(FieldError, match="status"):
        lease_owners({"kind": "Status"}, "treadle-system")
