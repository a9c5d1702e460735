"""The Leases by which operator and agents know of each other: where they are, their names, and with whom they go."""

from __future__ import annotations

from collections.abc import Mapping

from treadle_api.fields import Fields

SYSTEM_NAMESPACE = "treadle-system"
LEADER_LEASE = "treadle-operator"  # of the operator's leader: its leaseTransitions is the epoch
NODE_LEASE_PREFIX = "treadle-node-"  # of each node's agent: the node's name follows

_LONGEST = 1 << 12  # characters


def lease_owners(review: Mapping[str, object], namespace: str) -> list[dict[str, str]]:
    """The `ownerReferences` of a Lease in `namespace`, by the API server's answer to its holder's SelfSubjectReview.

    A service account of that namespace is the owner: it lives as long as the installation, and Kubernetes' garbage
    collector deletes the Lease after it. Nobody else owns any.

    Raises:
        FieldError: it is no answer to a SelfSubjectReview.
    """
    user = Fields("", review).child("status").child("userInfo")
    account = f"system:serviceaccount:{namespace}:"
    name, uid = user.text("username", None, _LONGEST), user.text("uid", None, _LONGEST, "", least=0)
    if not name.startswith(account) or not uid:
        return []
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "name": name.removeprefix(account), "uid": uid}]
