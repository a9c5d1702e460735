"""The dashboards: fleet, tenant, node and device, kernels. Each begins with what is wrong, and ends with why."""

from __future__ import annotations

from monitoring.fleet import FLEET
from monitoring.kernels import KERNELS
from monitoring.nodes import NODES
from monitoring.tenants import TENANTS

DASHBOARDS = (FLEET, TENANTS, NODES, KERNELS)
