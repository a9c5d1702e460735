"""The cluster as the API server has it, read quickly enough to be polled."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from bed.cluster import SYSTEM_NAMESPACE, Cluster

TREADLE = "/apis/treadle.dev/v1alpha1"
Object = dict[str, Any]


class World:
    """Objects as they are now, as the administrator sees them; `namespace` is the tenants'."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        config = json.loads(cluster.kubeconfig.read_text())
        self._token = config["users"][0]["user"]["token"]
        self._server = config["clusters"][0]["cluster"]["server"]
        self._context = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])

    def get(self, path: str) -> Object | None:
        """What is at a path; None for nothing."""
        return self._ask("GET", path)

    def items(self, path: str) -> list[Object]:
        """The list at a path."""
        answer = self.get(path)
        assert answer is not None, path
        items: list[Object] = answer["items"]
        return items

    def patch(self, path: str, body: Mapping[str, Any]) -> Object:
        """Merge into what is at a path."""
        answer = self._ask("PATCH", path, body, "application/merge-patch+json")
        assert answer is not None, path
        return answer

    def create(self, path: str, body: Mapping[str, Any]) -> Object:
        """Create an object."""
        answer = self._ask("POST", path, body)
        assert answer is not None, path
        return answer

    def delete(self, path: str) -> None:
        """Delete what is at a path, which need not be there."""
        self._ask("DELETE", path)

    @property
    def here(self) -> str:
        """The path of the tenants' namespace in our API group."""
        return f"{TREADLE}/namespaces/{self.namespace}"

    def apply_tenant(self, name: str, **spec: Any) -> Object:
        """Create a tenant, or merge into its spec."""
        usual: Object = {
            "slo": {"deadline": "100ms", "minAccuracy": "80"},
            "tiers": [
                {"name": "large", "accuracy": "97.5", "model": {"uri": f"models/{name}-large.onnx"}},
                {"name": "small", "accuracy": "92.1", "model": {"uri": f"models/{name}-small.onnx"}},
            ],
        }
        path = f"{self.here}/inferencetenants"
        if self.get(f"{path}/{name}") is not None:
            return self.patch(f"{path}/{name}", {"spec": spec})
        manifest = {"apiVersion": "treadle.dev/v1alpha1", "kind": "InferenceTenant", "metadata": {"name": name}}
        return self.create(path, {**manifest, "spec": usual | spec})

    def delete_tenants(self, *names: str) -> None:
        """Delete tenants, which need not be there."""
        for name in names:
            self.delete(f"{self.here}/inferencetenants/{name}")

    def tenant(self, name: str) -> Object:
        """A tenant that is there."""
        found = self.get(f"{self.here}/inferencetenants/{name}")
        assert found is not None, f"there is no tenant {name}"
        return found

    def condition(self, name: str, type_: str) -> Object:
        """A tenant's condition; an AssertionError where it has none yet."""
        conditions = self.tenant(name).get("status", {}).get("conditions", [])
        found: Object | None = next((one for one in conditions if one["type"] == type_), None)
        assert found is not None, f"{name} has no condition {type_}"
        return found

    def holds(self, name: str, type_: str) -> bool:
        """Whether a tenant's condition is True, and of its present generation."""
        tenant = self.tenant(name)
        conditions = tenant.get("status", {}).get("conditions", [])
        return any(
            one["type"] == type_
            and one["status"] == "True"
            and one["observedGeneration"] == tenant["metadata"]["generation"]
            for one in conditions
        )

    def replicas(self, name: str) -> list[Object]:
        """A tenant's replicas, in the order of their nodes."""
        found = self.items(f"{self.here}/inferencereplicas?fieldSelector=spec.tenantName={name}")
        return sorted(found, key=lambda one: str(one["spec"]["nodeName"]))

    def nodes_of(self, name: str) -> list[str]:
        """The nodes of a tenant's replicas that do not drain."""
        return [one["spec"]["nodeName"] for one in self.replicas(name) if not one["spec"]["draining"]]

    def service(self, name: str) -> Object | None:
        """A tenant's Service."""
        return self.get(f"/api/v1/namespaces/{self.namespace}/services/{name}-treadle")

    def slices(self, name: str) -> list[Object]:
        """A tenant's EndpointSlices."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        return self.items(f"{path}?labelSelector=kubernetes.io/service-name={name}-treadle")

    def endpoints(self, name: str) -> dict[str, bool]:
        """The addresses behind a tenant's Service, each with whether it is ready."""
        return {
            endpoint["addresses"][0]: endpoint["conditions"]["ready"]
            for one in self.slices(name)
            for endpoint in one["endpoints"]
        }

    def events(self, name: str) -> list[Object]:
        """The Events about an object of a name, oldest first."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        found = [one for one in self.items(path) if one["regarding"]["name"] == name]
        return sorted(found, key=lambda one: str(one["eventTime"]))

    def leader(self) -> Object:
        """The spec of the leader's Lease; empty where there is none."""
        found = self.get(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases/treadle-operator")
        return found["spec"] if found is not None else {}

    def heard_of(self) -> set[str]:
        """The nodes whose agents have told of their devices, and renew a Lease."""
        nodes = self.items(f"{TREADLE}/inferencenodes")
        told = {one["metadata"]["name"] for one in nodes if "devices" in one.get("status", {})}
        leases = self.items(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases")
        return told & {one["metadata"]["name"].removeprefix("treadle-node-") for one in leases}

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every object that the operator may write, but the Leases.

        Another test's namespace may still be on its way out.
        """
        found: dict[str, str] = {}
        for path in (
            f"{TREADLE}/inferencetenants",
            f"{TREADLE}/inferencereplicas",
            f"{TREADLE}/inferencenodes",
            "/api/v1/services",
            "/apis/discovery.k8s.io/v1/endpointslices",
            "/apis/events.k8s.io/v1/events",
        ):
            for one in self.items(path):
                metadata = one["metadata"]
                if metadata.get("namespace", self.namespace) != self.namespace:
                    continue
                found[f"{path}/{metadata.get('namespace', '')}/{metadata['name']}"] = metadata["resourceVersion"]
        return found

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Object | None:
        request = urllib.request.Request(
            self._server + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=30.0) as answer:
                decoded: Object = json.load(answer)
                return decoded
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and method in {"GET", "DELETE"}:
                    return None
                raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None
