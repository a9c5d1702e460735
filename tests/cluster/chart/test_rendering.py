"""What the chart makes of each documented combination of values, judged by helm and by a real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bed.cluster import SYSTEM_NAMESPACE, TREE, Cluster, KubectlError
from bed.helm import CHART, RELEASE, Helm, HelmError, Manifest, Values
from treadle_agent.__main__ import _options as agent_options
from treadle_agent.__main__ import _parser as agent_parser
from treadle_agent.frontend.routes import Resource, resolve
from treadle_callers.answers import AnswerTiming
from treadle_callers.settings import GuardSettings
from treadle_operator.__main__ import _parser as operator_parser
from treadle_operator.__main__ import _settings as operator_settings

FOREIGN_GROUP = "monitoring.coreos.com"  # the Prometheus operator's
ROLES = ("Role", "ClusterRole")


def documented() -> Iterator[Any]:
    """Values that docs/install.md and docs/auth.md show; other YAML there is of Kubernetes' objects."""
    for page in ("install", "auth"):
        text = (TREE / "docs" / f"{page}.md").read_text()
        for before, block in re.findall(r"([^\n]+)\n\n```yaml\n(.*?)```", text, re.DOTALL):
            if "kind" not in (values := yaml.safe_load(block)):
                yield pytest.param(values, id=before.split(",")[0].split(":")[0])


MONITORED = {"enabled": True, "labels": {"release": "kube-prometheus-stack"}}  # as docs/monitoring.md sets it
COMBINATIONS = [
    pytest.param({}, id="defaults"),
    *documented(),
    pytest.param({"monitoring": MONITORED}, id="monitored"),
    pytest.param(
        {"monitoring": MONITORED | {"runbookUrl": "https://wiki.example/runbooks"}}, id="monitored with runbooks"
    ),
    pytest.param({"monitoring": MONITORED, "agent": {"auth": {"enabled": False}}}, id="monitored without tokens"),
    pytest.param({"monitoring": MONITORED, "agent": {"tls": {"secretName": "agents"}}}, id="monitored by TLS"),
]


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container(objects: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = one(objects, kind, name)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def arguments(agent: Manifest, address: str = "10.0.0.7") -> list[str]:
    """As the kubelet gives them to a Pod of this address."""
    return [each.replace("$(NODE_NAME)", "node-a").replace("$(POD_IP)", address) for each in agent["args"]]


def test_there_are_combinations_to_judge():
    assert len(COMBINATIONS) >= 12


def judge(cluster: Cluster, *objects: Manifest) -> str:
    """What the API server says of objects, of which it keeps nothing; raises KubectlError where it refuses one."""
    options = ("--server-side", "--dry-run=server", "--validate=strict")
    return cluster.kubectl("apply", *options, "-f", "-", stdin=yaml.safe_dump_all(objects))


@pytest.fixture
def account_of_test(bare_cluster: Cluster) -> Iterator[None]:
    """The account of `helm test`'s Pod: a Pod, unlike what makes Pods, is taken only where its own is there."""
    bare_cluster.kubectl("create", "serviceaccount", "treadle-test", "-n", SYSTEM_NAMESPACE)
    yield
    bare_cluster.kubectl("delete", "serviceaccount", "treadle-test", "-n", SYSTEM_NAMESPACE)


@pytest.mark.usefixtures("account_of_test")
@pytest.mark.parametrize("values", COMBINATIONS)
def test_the_api_server_takes_every_object(
    helm: Helm, bare_cluster: Cluster, values: Values, request: pytest.FixtureRequest
) -> None:
    objects = helm.render(values)
    if any(each["apiVersion"].startswith(FOREIGN_GROUP) for each in objects):
        request.getfixturevalue("definitions")
    assert len(judge(bare_cluster, *objects).splitlines()) == len(objects)
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize(
    ("kind", "name", "change", "refused"),
    [
        ("PodMonitor", "treadle-agent", {"intervall": "30s"}, ".intervall: field not declared"),
        ("PodMonitor", "treadle-agent", {"interval": "often"}, "podMetricsEndpoints[0].interval"),
        ("PodMonitor", "treadle-operator", {"scheme": "gopher"}, "podMetricsEndpoints[0].scheme"),
        ("PrometheusRule", "treadle", {"intervall": "30s"}, ".intervall: field not declared"),
        ("PrometheusRule", "treadle", {"interval": "often"}, "groups[0].interval"),
    ],
)
def test_the_prometheus_operators_objects_are_judged(
    helm: Helm, bare_cluster: Cluster, kind: str, name: str, change: dict[str, str], refused: str
) -> None:
    objects = helm.render({"monitoring": {"enabled": True}})
    judged = one(objects, kind, name)
    judge(bare_cluster, judged)
    judged["spec"]["groups" if kind == "PrometheusRule" else "podMetricsEndpoints"][0] |= change
    with pytest.raises(KubectlError, match=re.escape(refused)):
        judge(bare_cluster, judged)


@pytest.mark.parametrize("values", COMBINATIONS)
def test_no_role_has_a_wildcard_and_no_binding_leads_elsewhere(helm: Helm, values: Values) -> None:
    """Each role says by name what it allows, and what is bound are these roles alone."""
    objects = helm.render(values)
    roles = {(each["kind"], each["metadata"]["name"]): each["rules"] for each in objects if each["kind"] in ROLES}
    assert {"ClusterRole", "Role"} == {kind for kind, _ in roles}
    words = [
        (name, word) for (_, name), rules in roles.items() for rule in rules for said in rule.values() for word in said
    ]
    assert len(words) > 50
    assert [(name, word) for name, word in words if "*" in word] == []
    bound = [(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in objects if "roleRef" in each]
    assert len(bound) >= 4
    assert set(bound) <= set(roles)


def test_all_that_an_agent_may_write_is_judged_by_its_node_but_for_the_exceptions(helm: Helm) -> None:
    objects = helm.render()
    roles = [one(objects, kind, "treadle-agent")["rules"] for kind in ROLES]
    written = {
        f"{group}/{resource}"
        for rule in (rule for rules in roles for rule in rules)
        if not set(rule["verbs"]) <= {"get", "list", "watch"}
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    policy = one(objects, "ValidatingAdmissionPolicy", "treadle-agent")["spec"]["matchConstraints"]["resourceRules"]
    judged = {f"{group}/{name}" for rule in policy for group in rule["apiGroups"] for name in rule["resources"]}
    # Of no node, as docs/install.md says; and questions, which leave nothing behind.
    assert written - judged == {
        "treadle.dev/modelprofiles",
        "authentication.k8s.io/selfsubjectreviews",
        "authentication.k8s.io/tokenreviews",
        "authorization.k8s.io/subjectaccessreviews",
    }


@pytest.mark.parametrize("values", COMBINATIONS)
def test_pods_fit_pod_security_restricted(helm: Helm, bare_cluster: Cluster, values: Values) -> None:
    namespace = "restricted"
    bare_cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": namespace}},
        }
    )
    for each in helm.render(values):
        if each["kind"] not in ("Deployment", "DaemonSet", "Pod"):
            continue
        spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
        # Whether there is such an account, or class, is none of Pod Security's business.
        spec = {key: value for key, value in spec.items() if key not in ("serviceAccountName", "runtimeClassName")}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": namespace}, "spec": spec}
        if not any("hostPath" in volume for volume in spec.get("volumes", [])):
            bare_cluster.apply(pod, "--dry-run=server")
            continue
        # The exception that docs/install.md names.
        with pytest.raises(KubectlError, match=r'violates PodSecurity "restricted:latest": restricted volume types'):
            bare_cluster.apply(pod, "--dry-run=server")


@pytest.mark.parametrize("values", COMBINATIONS)
def test_the_programs_take_their_arguments(helm: Helm, values: Values) -> None:
    objects = helm.render(values)
    operator = container(objects, "Deployment", "treadle-operator")
    settings = operator_settings(operator_parser().parse_args(operator["args"]))
    assert settings.namespace == SYSTEM_NAMESPACE
    assert settings.listen[0] is None, "of a Pod's addresses, one may be IPv6"
    assert settings.listen[1] == operator["ports"][0]["containerPort"]

    agent = container(objects, "DaemonSet", "treadle-agent")
    fields = {variable["name"]: variable for variable in agent["env"]}
    assert fields["NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert fields["POD_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    parsed = agent_parser().parse_args(arguments(agent))
    assert (parsed.node_name, parsed.namespace) == ("node-a", SYSTEM_NAMESPACE)
    assert parsed.address == f"10.0.0.7:{parsed.port}"
    assert parsed.port == agent["ports"][0]["containerPort"]
    if parsed.device != ["cuda"]:  # which this machine may not have
        agent_options(parsed)
    probes = {probe: agent[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    asked = {probe: resolve(path, "GET").resource for probe, path in probes.items()}
    assert asked == {"startup": Resource.LIVE, "liveness": Resource.LIVE, "readiness": Resource.READY}


def test_a_pods_ipv6_address_gets_its_brackets(helm: Helm) -> None:
    agent = container(helm.render({"agent": {"device": "host"}}), "DaemonSet", "treadle-agent")
    options = agent_options(agent_parser().parse_args(arguments(agent, "fd00::7")))
    assert options.address == "[fd00::7]:8000"


@pytest.mark.parametrize("seconds", [0, 25, 600])
def test_a_pod_gets_the_time_that_its_agent_takes_to_leave(helm: Helm, seconds: int) -> None:
    agent = one(helm.render({"agent": {"leaveSeconds": seconds}}), "DaemonSet", "treadle-agent")
    answering, farewell = 30, 3  # FrontEndSettings.drain_timeout; LAST_WORDS_SECONDS and the Lease
    assert agent["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= seconds + answering + farewell


@pytest.mark.parametrize(("size", "kept"), [("20Gi", 16 << 30), ("1Ti", 838860 << 20), ("1Mi", 1 << 20)])
def test_an_agent_clears_its_cache_before_the_kubelet_evicts_it(helm: Helm, size: str, kept: int) -> None:
    values: Values = {"agent": {"cacheSize": size, "device": "host"}}
    objects = helm.render(values)
    agent = container(objects, "DaemonSet", "treadle-agent")
    options = agent_options(agent_parser().parse_args(arguments(agent)))
    assert options.cache.most_bytes == kept
    volumes = one(objects, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "cache", "emptyDir": {"sizeLimit": size}} in volumes


def test_the_cache_lies_on_the_volume_that_is_chosen_and_keeps_to_its_size(helm: Helm) -> None:
    volume = {"hostPath": {"path": "/var/lib/treadle", "type": "Directory"}}
    objects = helm.render({"agent": {"cacheSize": "50Gi", "cacheVolume": volume, "device": "host"}})
    volumes = one(objects, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]["volumes"]
    assert [each for each in volumes if each["name"] == "cache"] == [{"name": "cache", **volume}]
    agent = container(objects, "DaemonSet", "treadle-agent")
    assert {"name": "cache", "mountPath": "/var/cache/treadle"} in agent["volumeMounts"]
    assert agent_options(agent_parser().parse_args(arguments(agent))).cache.most_bytes == 40 << 30


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"operator": {"replicas": 0}}, "/operator/replicas"),
        ({"operator": {"replicas": "two"}}, "/operator/replicas"),
        ({"agent": {"device": "gpu"}}, "/agent/device"),
        ({"agent": {"device": "simulated:K80"}}, "/agent/device"),
        ({"agent": {"port": 80}}, "/agent/port"),
        ({"agent": {"leaveSeconds": -1}}, "/agent/leaveSeconds"),
        ({"agent": {"cacheSize": "much"}}, "/agent/cacheSize"),
        ({"agent": {"cacheVolume": "/var/lib/treadle"}}, "/agent/cacheVolume"),
        ({"agent": {"cacheVolume": {"emptyDir": {}, "ephemeral": {}}}}, "/agent/cacheVolume"),
        ({"agent": {"models": {"hosts": ["https://models.example.com/"]}}}, "/agent/models/hosts/0"),
        ({"agent": {"auth": {"audience": ""}}}, "/agent/auth/audience"),
        ({"agent": {"auth": {"cacheSeconds": 0}}}, "/agent/auth/cacheSeconds"),
        ({"agent": {"maxUnavailable": "0%"}}, "/agent/maxUnavailable"),
        ({"agent": {"image": {"pullPolicy": "Sometimes"}}}, "/agent/image/pullPolicy"),
        ({"monitoring": {"enabled": "yes"}}, "/monitoring/enabled"),
        ({"monitoring": {"interval": "often"}}, "/monitoring/interval"),
        ({"monitoring": {"runbookUrl": "docs/runbooks"}}, "/monitoring/runbookUrl"),
        ({"crds": {"enabled": 1}}, "/crds/enabled"),
        ({"crds": {"keep": "no"}}, "/crds/keep"),
        ({"crds": {"kept": True}}, "kept"),
        ({"agents": {"device": "host"}}, "agents"),
        ({"agent": {"devices": ["host"]}}, "devices"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_their_key(helm: Helm, values: Values, named: str) -> None:
    with pytest.raises(HelmError) as refused:
        helm.render(values)
    assert named in str(refused.value)


def test_callers_are_asked_for_tokens_unless_that_is_switched_off(helm: Helm) -> None:
    def guard(auth: Values) -> GuardSettings | None:
        agent = container(helm.render({"agent": {"device": "host", "auth": auth}}), "DaemonSet", "treadle-agent")
        return agent_options(agent_parser().parse_args(arguments(agent))).guard

    assert guard({}) == GuardSettings("treadle.dev")
    told = guard({"audience": "ours", "cacheSeconds": 10, "outageSeconds": 0})
    assert told == GuardSettings("ours", AnswerTiming(believed=10.0, outage=0.0))
    assert guard({"enabled": False}) is None


def test_operators_ask_for_tokens_where_agents_do(helm: Helm) -> None:
    def guard(auth: Values) -> GuardSettings | None:
        operator = container(helm.render({"agent": {"auth": auth}}), "Deployment", "treadle-operator")
        return operator_settings(operator_parser().parse_args(operator["args"])).guard

    assert guard({}) == GuardSettings("")
    assert guard({"cacheSeconds": 10, "outageSeconds": 0}) == GuardSettings("", AnswerTiming(10.0, 0.0))
    assert guard({"enabled": False}) is None


def test_who_scrapes_and_who_tests_has_a_token_and_the_right_where_one_is_needed(helm: Helm) -> None:
    def metrics_readers(objects: list[Manifest]) -> set[str]:
        bindings = [each for each in objects if each["kind"] == "ClusterRoleBinding"]
        role = [each for each in bindings if each["roleRef"]["name"] == "treadle-metrics"]
        return {subject["name"] for each in role for subject in each["subjects"]}

    def endpoints(objects: list[Manifest]) -> list[Manifest]:
        found = [one(objects, "PodMonitor", name) for name in ("treadle-operator", "treadle-agent")]
        return [endpoint for each in found for endpoint in each["spec"]["podMetricsEndpoints"]]

    objects = helm.render({"monitoring": MONITORED})
    tokens = [endpoint["authorization"] for endpoint in endpoints(objects)]
    assert tokens == [{"credentials": {"name": "treadle-scraper", "key": "token"}}] * 2
    assert metrics_readers(objects) == {"treadle-scraper", "treadle-test"}
    assert one(objects, "Pod", "treadle-test")["spec"]["serviceAccountName"] == "treadle-test"
    lasting = [each for each in objects if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    assert metrics_readers(lasting) == {"treadle-scraper"}, "the test's right goes with the test"

    objects = helm.render({"monitoring": MONITORED, "agent": {"auth": {"enabled": False}}})
    assert ["authorization" in endpoint for endpoint in endpoints(objects)] == [False] * 2
    assert metrics_readers(objects) == set()
    pod = one(objects, "Pod", "treadle-test")["spec"]
    assert (pod.get("serviceAccountName"), pod["automountServiceAccountToken"]) == (None, False)


def test_with_a_certificate_all_that_asks_agents_asks_by_tls(helm: Helm) -> None:
    values: Values = {"agent": {"device": "host", "tls": {"secretName": "agents"}}, "monitoring": {"enabled": True}}
    objects = helm.render(values)
    agent = container(objects, "DaemonSet", "treadle-agent")
    options = agent_options(agent_parser().parse_args(arguments(agent)))
    mounts = {each["name"]: each["mountPath"] for each in agent["volumeMounts"]}
    assert str(options.tls) == mounts["tls"]
    operator = container(objects, "Deployment", "treadle-operator")
    assert operator_settings(operator_parser().parse_args(operator["args"])).tls
    volumes = one(objects, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]["volumes"]
    assert [each["secret"]["secretName"] for each in volumes if each["name"] == "tls"] == ["agents"]
    assert {agent[f"{probe}Probe"]["httpGet"].get("scheme") for probe in ("startup", "liveness", "readiness")} == {
        "HTTPS"
    }
    [scraped] = one(objects, "PodMonitor", "treadle-agent")["spec"]["podMetricsEndpoints"]
    assert scraped["scheme"] == "https"
    assert scraped["tlsConfig"]["ca"]["secret"] == {"name": "agents", "key": "tls.crt"}
    plain = container(helm.render({"agent": {"device": "host"}}), "DaemonSet", "treadle-agent")
    assert agent_options(agent_parser().parse_args(arguments(plain))).tls is None
    operator = container(helm.render({}), "Deployment", "treadle-operator")
    assert not operator_settings(operator_parser().parse_args(operator["args"])).tls
    assert "scheme" not in plain["livenessProbe"]["httpGet"]


def test_models_come_only_from_hosts_that_are_listed_and_folders_that_are_mounted(helm: Helm) -> None:
    def sources(**agent: Any) -> tuple[object, object]:
        found = container(helm.render({"agent": {"device": "host", **agent}}), "DaemonSet", "treadle-agent")
        allowed = agent_options(agent_parser().parse_args(arguments(found))).sources
        return allowed.hosts, allowed.folders

    assert sources() == ((), ()), "by default from nowhere"
    hosts = ["models.example.com", "*.example.org", "registry.internal:5000"]
    mounts = [{"name": "a", "mountPath": "/models"}, {"name": "b", "mountPath": "/srv/b", "readOnly": True}]
    volumes = [{"name": name, "emptyDir": {}} for name in ("a", "b")]
    found = sources(models={"hosts": hosts}, volumes=volumes, volumeMounts=mounts)
    assert found == (tuple(hosts), (Path("/models"), Path("/srv/b")))


def test_authorities_for_models_are_where_the_agent_looks(helm: Helm) -> None:
    objects = helm.render({"agent": {"device": "host", "models": {"caConfigMapName": "company-ca"}}})
    agent = container(objects, "DaemonSet", "treadle-agent")
    options = agent_options(agent_parser().parse_args(arguments(agent)))
    mounts = {each["name"]: each["mountPath"] for each in agent["volumeMounts"]}
    assert str(options.model_ca) == f"{mounts['model-ca']}/ca.crt"
    volumes = one(objects, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "model-ca", "configMap": {"name": "company-ca"}} in volumes
    plain = container(helm.render({"agent": {"device": "host"}}), "DaemonSet", "treadle-agent")
    assert agent_options(agent_parser().parse_args(arguments(plain))).model_ca is None


def test_definitions_are_kept_unless_asked(helm: Helm) -> None:
    def policies(values: Values) -> list[str | None]:
        found = [each for each in helm.render(values) if each["kind"] == "CustomResourceDefinition"]
        return [each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for each in found]

    assert policies({}) == ["keep"] * 4
    assert policies({"crds": {"keep": False}}) == [None] * 4
    assert policies({"crds": {"enabled": False}}) == []


def test_a_gpu_is_asked_for_in_the_one_way_that_was_chosen(helm: Helm) -> None:
    def visible(values: Values) -> str | None:
        agent = container(helm.render({"agent": values}), "DaemonSet", "treadle-agent")
        return {each["name"]: each.get("value") for each in agent["env"]}.get("NVIDIA_VISIBLE_DEVICES")

    assert visible({}) is None
    assert visible({"runtimeClassName": "nvidia"}) == "all"
    assert visible({"runtimeClassName": "nvidia", "resources": {"limits": {"nvidia.com/gpu": 1}}}) is None
    assert visible({"runtimeClassName": "nvidia", "resourceClaimTemplateName": "one-gpu"}) is None


NO_CUDA, NO_GPU = "has no CUDA: set agent.image.tag", "Nothing gives agents a GPU: "
CUDA_IMAGE = {"tag": "0.1.0-cuda13"}


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ({}, ()),
        ({"device": "cuda"}, (NO_CUDA, NO_GPU)),
        ({"device": "cuda", "image": CUDA_IMAGE}, (NO_GPU,)),
        ({"device": "cuda", "image": CUDA_IMAGE, "runtimeClassName": "nvidia"}, ()),
        ({"device": "cuda", "image": CUDA_IMAGE, "resourceClaimTemplateName": "one-gpu"}, ()),
        ({"device": "cuda", "image": CUDA_IMAGE, "resources": {"limits": {"nvidia.com/gpu": 1}}}, ()),
        ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, (NO_CUDA,)),
        ({"device": "host", "runtimeClassName": "nvidia"}, ()),
    ],
)
def test_who_installs_agents_that_lack_their_gpu_is_told(helm: Helm, agent: Values, told: tuple[str, ...]) -> None:
    options = ("--namespace", SYSTEM_NAMESPACE, "--dry-run=client")
    said = helm("install", RELEASE, CHART, *options, values={"agent": agent})
    assert tuple(each for each in (NO_CUDA, NO_GPU) if each in said) == told


def test_where_pods_run_and_how_agents_get_a_gpu_is_what_the_values_say(helm: Helm) -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    placed = {"nodeSelector": {"pool": "gpus"}, "tolerations": [toleration]}
    limits = {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}}
    plugged = helm.render({"agent": {**placed, "resources": limits}, "operator": {**placed, "resources": limits}})
    classed = helm.render({"agent": {"runtimeClassName": "nvidia"}})
    claimed = helm.render({"agent": {"resourceClaimTemplateName": "a-gpu"}})
    for kind, name in (("DaemonSet", "treadle-agent"), ("Deployment", "treadle-operator")):
        pod = one(plugged, kind, name)["spec"]["template"]["spec"]
        assert pod["nodeSelector"]["pool"] == "gpus"
        assert toleration in pod["tolerations"]
        assert container(plugged, kind, name)["resources"]["limits"] == limits["limits"]
    assert one(classed, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
    pod = one(claimed, "DaemonSet", "treadle-agent")["spec"]["template"]["spec"]
    [claim] = pod["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == "a-gpu"
    assert container(claimed, "DaemonSet", "treadle-agent")["resources"]["claims"] == [{"name": claim["name"]}]
    [spread] = one(plugged, "Deployment", "treadle-operator")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    labels = one(plugged, "Deployment", "treadle-operator")["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_each_alert_leads_to_its_runbook_where_the_values_say_that_they_are(helm: Helm) -> None:
    def links(url: str) -> dict[str, str | None]:
        rule = one(helm.render({"monitoring": MONITORED | {"runbookUrl": url}}), "PrometheusRule", "treadle")
        alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
        return {each["alert"]: each["annotations"].get("runbook_url") for each in alerts}

    assert len(links("")) >= 10
    assert set(links("").values()) == {None}
    wanted = {name: f"https://wiki.example/runbooks/{name}.md" for name in links("")}
    assert links("https://wiki.example/runbooks") == wanted


def test_everything_lies_in_the_releases_namespace(helm: Helm) -> None:
    objects = helm.render({"monitoring": {"enabled": True}}, "--namespace", "elsewhere")
    assert SYSTEM_NAMESPACE not in yaml.safe_dump_all(objects)


@pytest.mark.parametrize(
    ("device", "update"),
    [("host", {"maxSurge": 2, "maxUnavailable": 0}), ("auto", {"maxUnavailable": 2}), ("cuda", {"maxUnavailable": 2})],
)
def test_an_agent_goes_before_the_next_only_where_there_is_no_room_for_two(
    helm: Helm, device: str, update: dict[str, int]
) -> None:
    agent = one(helm.render({"agent": {"device": device, "maxUnavailable": 2}}), "DaemonSet", "treadle-agent")
    assert agent["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": update}
