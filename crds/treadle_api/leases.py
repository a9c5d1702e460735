"""The Leases by which operator and agents know of each other: where they are, and their names."""

from __future__ import annotations

SYSTEM_NAMESPACE = "treadle-system"
LEADER_LEASE = "treadle-operator"  # of the operator's leader: its leaseTransitions is the epoch
NODE_LEASE_PREFIX = "treadle-node-"  # of each node's agent: the node's name follows
