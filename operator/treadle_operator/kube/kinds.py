"""The kinds of objects that the operator reads or writes, and where the API server has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from treadle_api import node, profile, replica, tenant
from treadle_api.objects import API_VERSION

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SLICE_MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
SLICE_MANAGER = "treadle.dev"
MANAGER_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "treadle"
TENANT_LABEL = "treadle.dev/tenant"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `selector`: the label of the objects that concern the operator, as LABEL or LABEL=VALUE; "": all do."""

    name: str
    api_version: str
    plural: str
    namespaced: bool
    selector: str = ""

    @property
    def group(self) -> str:
        """The API group; "" is the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The group's version."""
        return self.api_version.rpartition("/")[2]

    def selects(self, labels: Mapping[str, object]) -> bool:
        """Whether an object of these labels is listed and watched."""
        label, equals, value = self.selector.partition("=")
        return not label or (labels.get(label) == value if equals else label in labels)

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL's path of one object, or of all (in one namespace, or everywhere)."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


TENANTS = Kind(tenant.KIND, API_VERSION, "inferencetenants", namespaced=True)
REPLICAS = Kind(replica.KIND, API_VERSION, replica.PLURAL, namespaced=True)
NODES = Kind(node.KIND, API_VERSION, node.PLURAL, namespaced=False)
PROFILES = Kind(profile.KIND, API_VERSION, profile.PLURAL, namespaced=False)
NAMESPACES = Kind("Namespace", "v1", "namespaces", namespaced=False)
CORE_NODES = Kind("Node", "v1", "nodes", namespaced=False)
SERVICES = Kind("Service", "v1", "services", namespaced=True, selector=TENANT_LABEL)
SLICES = Kind(
    "EndpointSlice",
    "discovery.k8s.io/v1",
    "endpointslices",
    namespaced=True,
    selector=f"{SLICE_MANAGER_LABEL}={SLICE_MANAGER}",
)
LEASES = Kind("Lease", "coordination.k8s.io/v1", "leases", namespaced=True)
SELF_REVIEWS = Kind("SelfSubjectReview", "authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False)
EVENTS = Kind("Event", "events.k8s.io/v1", "events", namespaced=True)

OWN = (TENANTS, REPLICAS, NODES, PROFILES)
WATCHED = (*OWN, CORE_NODES, SERVICES, SLICES)
BY_NAME = {kind.name: kind for kind in OWN}
