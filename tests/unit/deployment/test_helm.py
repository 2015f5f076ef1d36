"""The Helm chart, rendered and checked without a cluster: what each row of a good installation asks for."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import referencing
import yaml
from jsonschema.validators import Draft202012Validator
from referencing import Registry

from deploy import helm
from deploy.topology import MANAGEMENT_PORT, PARTS
from services.runtime.rpc import server
from services.runtime.security.access import ACCESS, Services
from services.runtime.settings import load
from services.runtime.temporal.names import TASK_QUEUE
from tests.support.monitoring import DASHBOARD, RULES
from tests.unit.runtime.test_settings import RIGHT
from workflows import worker

FOLDER = Path(helm.__file__).parent
EXAMPLES = sorted(path.stem for path in (FOLDER / "examples").glob("*.yaml"))
RELEASE = "pilot"

_CUSTOM = {"Certificate", "PodMonitor", "PrometheusRule", "ScaledObject", "WorkerDeployment"}
"""Kinds of others, for which there are no schemas here."""

Resource = dict[str, Any]


@cache
def _rendered(values: str) -> list[Resource]:
    with helm_python.Chart.load(str(FOLDER / "liity")) as chart:
        files = chart.render(json.loads(values), name=RELEASE, namespace="library")
    return [resource for text in files.values() for resource in yaml.safe_load_all(text) if resource]


def example(name: str) -> Resource:
    values: Resource = yaml.safe_load((FOLDER / "examples" / f"{name}.yaml").read_text("utf-8"))
    return values


def rendered(values: Resource) -> list[Resource]:
    return _rendered(json.dumps(values))


PILOT = example("pilot")
EVERYTHING = [rendered(example(name)) for name in EXAMPLES]


def named(resources: list[Resource], kind: str) -> dict[str, Resource]:
    """The resources of a kind by their names, without the release's."""
    return {
        one["metadata"]["name"].removeprefix(f"{RELEASE}-"): one for one in resources if one["kind"] == kind
    }


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for one in resources:
        if "template" in one.get("spec", {}):
            yield one["metadata"]["name"].removeprefix(f"{RELEASE}-"), one["spec"]["template"]


def environment(pod: Resource) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


_SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


@cache
def definitions(version: str) -> Registry[Any]:
    """What all schemas of a release of Kubernetes refer to; the package itself reads it for each object."""
    (folder,) = _SCHEMAS.glob(f"v{version}.*-local-strict")
    text = (folder / "_definitions.json").read_text("utf-8")
    return (referencing.Resource.from_contents(json.loads(text)) @ Registry()).crawl()


@cache
def schema(version: str, kind: str, api_version: str) -> Draft202012Validator:
    (folder,) = _SCHEMAS.glob(f"v{version}.*-local-strict")
    group, _, number = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    own = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return Draft202012Validator(own, registry=referencing.Resource.from_contents(own) @ definitions(version))


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_every_object_is_one_that_kubernetes_takes(name: str, version: str) -> None:
    for resource in rendered(example(name)):
        if resource["kind"] not in _CUSTOM:
            schema(version, resource["kind"], resource["apiVersion"]).validate(resource)


def test_names_are_given_once_and_all_is_in_one_namespace() -> None:
    for resources in EVERYTHING:
        names = [(one["kind"], one["metadata"]["name"]) for one in resources]
        assert len(set(names)) == len(names)
        assert not any("namespace" in one["metadata"] for one in resources)


def test_every_component_runs_twice_at_least() -> None:
    deployments = named(rendered(PILOT | {"components": {}}), "Deployment")
    assert set(deployments) == set(PARTS)
    for name, deployment in deployments.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["serve", name]
        assert deployment["spec"]["replicas"] == 2


def test_an_image_is_given_by_its_digest_or_its_release() -> None:
    images = {
        container["image"]
        for resources in EVERYTHING
        for _, pod in pods(resources)
        for container in pod["spec"]["containers"]
    }
    assert images == {
        "liity:0.3.0",
        f"registry.ministry.example/liity@sha256:{'0' * 64}",
        f"registry.library.example/liity@sha256:{'0' * 64}",
    }


@pytest.mark.parametrize("hooks", [True, False])
def test_databases_are_migrated_as_their_owners_and_the_namespace_is_prepared(hooks: bool) -> None:
    resources = rendered(PILOT | {"setUp": {"hooks": hooks}})
    jobs = [one for one in resources if one["kind"] == "Job"]
    found = {}
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        found[" ".join(pod["containers"][0]["args"])] = secrets
        annotations = job["metadata"].get("annotations", {})
        assert annotations.get("helm.sh/hook") == ("pre-install,pre-upgrade" if hooks else None)
    owners = {f"migrate {name}": [f"liity-{name}-owner"] for name, part in PARTS.items() if part.database}
    assert found == owners | {"temporal prepare": ["liity-worker-keys"]}
    assert not any("owner" in json.dumps(pod) for name, pod in pods(resources) if name in PARTS)


def test_nothing_is_prepared_where_others_do_it() -> None:
    jobs = named(rendered(example("temporal-cloud")), "Job")
    assert set(jobs) == {f"migrate-{name}" for name, part in PARTS.items() if part.database}
    assert named(rendered(PILOT | {"setUp": {"enabled": False}}), "Job") == {}


def test_probes_ask_the_management_port() -> None:
    for name, pod in pods(EVERYTHING[0]):
        (container,) = pod["spec"]["containers"]
        if name not in PARTS:
            assert "livenessProbe" not in container
            continue
        paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        assert {kind: path["path"] for kind, path in paths.items()} == {
            "startup": "/readyz",
            "readiness": "/readyz",
            "liveness": "/livez",
        }
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"management": MANAGEMENT_PORT} | (
            {"serve": PARTS[name].port} if PARTS[name].port else {}
        )
        assert {path["port"] for path in paths.values()} == {"management"}
        assert environment(pod)["LIITY_MANAGEMENT_LISTEN"] == f"0.0.0.0:{MANAGEMENT_PORT}"


def test_replicas_are_spread_and_replaced_one_by_one() -> None:
    resources = rendered(PILOT)
    budgets = named(resources, "PodDisruptionBudget")
    assert set(budgets) == set(PARTS)
    for name, deployment in named(resources, "Deployment").items():
        spec, labels = deployment["spec"], deployment["spec"]["selector"]["matchLabels"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert spec["minReadySeconds"] > 0
        assert budgets[name]["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
        spread = spec["template"]["spec"]["topologySpreadConstraints"]
        assert [one["topologyKey"] for one in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        assert all(one["labelSelector"]["matchLabels"] == labels for one in spread)
        assert labels.items() <= spec["template"]["metadata"]["labels"].items()


def test_a_pod_may_finish_what_it_does() -> None:
    for name, pod in pods(rendered(PILOT)):
        if name in PARTS:
            grace = pod["spec"]["terminationGracePeriodSeconds"]
            pause = environment(pod).get("LIITY_DRAIN_PAUSE")
            assert pause == ("PT10S" if PARTS[name].port else None)
            assert grace > 10 + server.GRACE
            assert grace > worker.GRACE.total_seconds()


def test_every_pod_is_restricted() -> None:
    for resources in EVERYTHING:
        for _, template in pods(resources):
            pod = template["spec"]
            security = pod["securityContext"]
            assert security["runAsNonRoot"] is True
            assert min(security[who] for who in ("runAsUser", "runAsGroup", "fsGroup")) >= 10000
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
            (container,) = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
            writable = {name for name, mount in mounts.items() if not mount.get("readOnly")}
            assert writable <= {"tmp", "erasures"}


def test_each_component_has_its_own_account_and_only_its_key_files() -> None:
    resources = rendered(PILOT)
    accounts = named(resources, "ServiceAccount")
    assert set(accounts) == {*PARTS, "setup"}
    assert not any(one["kind"] in {"Role", "RoleBinding", "ClusterRole"} for one in resources)
    for name, template in pods(resources):
        if name in PARTS:
            pod = template["spec"]
            assert pod["serviceAccountName"] == f"{RELEASE}-{name}"
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            keys = volumes["keys"]["secret"]
            assert keys["secretName"] == f"liity-{name}-keys"
            assert tuple(item["key"] for item in keys["items"]) == PARTS[name].keys
            # As octal 0440: root's, and readable by the pod's group.
            assert all(one["secret"]["defaultMode"] == 0o440 for one in volumes.values() if "secret" in one)
            assert ("settings" in volumes) == PARTS[name].database


def test_secrets_are_named_and_never_made() -> None:
    for resources in EVERYTHING:
        assert not any(one["kind"] == "Secret" for one in resources)
    url = "postgresql+asyncpg://liity:hush@db/identity"  # pragma: allowlist secret
    secret = {"settings": {"LIITY_DATABASE_URL": url}}
    with pytest.raises(helm_python.HelmError, match=r"values don't meet the specifications"):
        rendered(PILOT | {"components": {"identity": secret}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicas": 2},
        {"components": {"gatewy": {}}},
        {"components": {"gateway": {"replicas": 0}}},
        {"temporal": {"address": "temporal"}},
        {"image": {"digest": "sha256:1"}},
        {"keda": {"minReplicas": 0}},
        {"settings": {"DEBUG": "1"}},
    ],
)
def test_values_of_no_meaning_are_refused(wrong: Resource) -> None:
    with pytest.raises(helm_python.HelmError, match=r"values don't meet the specifications"):
        rendered(PILOT | wrong)


# The network


def callers_of(component: str) -> set[str]:
    """Who may call a component's gRPC server, as the access table itself says."""
    return {
        name
        for method, rule in ACCESS.items()
        if isinstance(rule, Services) and method.startswith(f"/liity.{component}.v1.")
        for name in rule.names
    }


def components_in(peers: list[Resource]) -> set[str]:
    return {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for peer in peers
        if "podSelector" in peer
    }


def rules(policy: Resource, direction: str) -> Iterator[tuple[int, list[Resource]]]:
    for rule in policy["spec"].get(direction, []):
        for port in rule["ports"]:
            yield port["port"], rule["from" if direction == "ingress" else "to"]


def test_policies_let_in_exactly_whom_the_access_table_names() -> None:
    policies = named(rendered(PILOT), "NetworkPolicy")
    for name in ("identity", "registration", "notification"):
        let_in = [peers for port, peers in rules(policies[name], "ingress") if port == PARTS[name].port]
        assert [components_in(peers) for peers in let_in] == [callers_of(name)]
        assert callers_of(name) >= {"gateway", "worker"}
    for name, policy in policies.items():
        for port, peers in rules(policy, "egress"):
            for callee in components_in(peers):
                assert port == PARTS[callee].port
                assert name in (callers_of(callee) or {"codec", "web"})
    called = {
        name: {callee for _, peers in rules(policy, "egress") for callee in components_in(peers)}
        for name, policy in policies.items()
    }
    for callee in ("identity", "registration", "notification"):
        assert {name for name, callees in called.items() if callee in callees} == callers_of(callee)
    assert {name for name, callees in called.items() if "gateway" in callees} == {"codec", "web"}


def test_everything_else_is_denied() -> None:
    resources = rendered(PILOT)
    policies = named(resources, "NetworkPolicy")
    deny = policies["deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    # Names are looked up, also by Jobs that run before this policy is there.
    for name in ("deny", "temporal-prepare", "migrate-identity"):
        assert 53 in {port for port, _ in rules(policies[name], "egress")}
    assert {port for port, _ in rules(policies["deny"], "egress")} == {53}
    everyone = deny["podSelector"]["matchLabels"].items()
    for name, pod in pods(resources):
        labels = pod["metadata"]["labels"].items()
        assert everyone <= labels
        assert policies[name]["spec"]["podSelector"]["matchLabels"].items() <= labels
    outside = {
        name: sorted(port for port, peers in rules(policy, "egress") if "ipBlock" in peers[0])
        for name, policy in policies.items()
    }
    assert {name: ports for name, ports in outside.items() if ports} == {
        "identity": [5432],
        "registration": [5432],
        "notification": [587, 5432],
        "gateway": [7233],
        "worker": [7233],
        **{f"migrate-{name}": [5432] for name in ("identity", "registration", "notification")},
        "temporal-prepare": [7233],
    }
    public = {
        name
        for name, policy in policies.items()
        for port, peers in rules(policy, "ingress")
        if port != MANAGEMENT_PORT and any("namespaceSelector" in peer for peer in peers)
    }
    assert public == {name for name, part in PARTS.items() if part.public}


def test_callers_see_every_replica() -> None:
    services = named(rendered(PILOT), "Service")
    assert set(services) == {name for name, part in PARTS.items() if part.port}
    for name, service in services.items():
        assert service["spec"]["clusterIP"] == "None"
        assert [port["port"] for port in service["spec"]["ports"]] == [PARTS[name].port]
    for _, pod in pods(rendered(PILOT)):
        for variable, value in environment(pod).items():
            if variable.endswith("_TARGET"):
                callee = variable.removeprefix("LIITY_").removesuffix("_TARGET").lower()
                assert value == f"dns:///{RELEASE}-{callee}:{PARTS[callee].port}"


def test_certificates_name_components() -> None:
    resources = rendered(example("ministry"))
    certificates = named(resources, "Certificate")
    assert {name: one["spec"]["dnsNames"] for name, one in certificates.items()} == {
        name: [name] for name in PARTS if name != "web"
    }
    for name, pod in pods(resources):
        if name in certificates:
            secret = certificates[name]["spec"]["secretName"]
            assert {"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o440}} in pod["spec"][
                "volumes"
            ]
    without = rendered(PILOT | {"certificates": {"enabled": False}})
    assert named(without, "Certificate") == {}
    assert not any("LIITY_TLS_CA" in environment(pod) for _, pod in pods(without))


@pytest.mark.parametrize("claim", ["", "shared"])
def test_the_erasure_ledger_is_on_a_volume_that_outlasts_the_release(claim: str) -> None:
    resources = rendered(PILOT | {"erasureLedger": {"claim": claim}})
    claims = named(resources, "PersistentVolumeClaim")
    assert set(claims) == (set() if claim else {"erasures"})
    for one in claims.values():
        assert one["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for name, pod in pods(resources):
        (container,) = pod["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        folder = environment(pod).get("LIITY_ERASURE_LEDGER_DIR")
        assert (folder is not None) == (name in PARTS and PARTS[name].ledger)
        if folder:
            volume = volumes[mounts[folder]]["persistentVolumeClaim"]
            assert volume == {"claimName": claim or f"{RELEASE}-erasures"}


# Growing, and new releases


def test_servers_grow_by_their_load() -> None:
    resources = rendered(example("nation"))
    scalers = named(resources, "HorizontalPodAutoscaler")
    assert set(scalers) == {"identity", "registration", "notification", "gateway"}
    for name, deployment in named(resources, "Deployment").items():
        # Its number of replicas is the scaler's to set.
        assert ("replicas" in deployment["spec"]) == (name not in scalers)


def test_a_worker_is_never_scaled_to_nothing() -> None:
    (scaled,) = named(rendered(example("temporal-cloud")), "ScaledObject").values()
    assert scaled["spec"]["minReplicaCount"] >= 1
    assert scaled["spec"]["triggers"][0]["metadata"]["taskQueue"] == TASK_QUEUE


def test_builds_of_the_worker_are_ramped_and_old_ones_stay_for_a_day() -> None:
    resources = rendered(example("nation"))
    (deployment,) = named(resources, "WorkerDeployment").values()
    assert "worker" not in named(resources, "Deployment")
    rollout, sunset = deployment["spec"]["rollout"], deployment["spec"]["sunset"]
    assert rollout["strategy"] == "Progressive"
    assert rollout["steps"][0]["rampPercentage"] <= 10
    assert all(int(delay.removesuffix("h")) > 24 for delay in sunset.values())


# Settings


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_component_gets_all_settings_that_it_needs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql+asyncpg://liity:hush@db/liity"  # pragma: allowlist secret
    (tmp_path / "LIITY_DATABASE_URL").write_text(url)
    seen = set()
    for component, pod in pods(rendered(example(name))):
        if component not in PARTS:
            continue
        given = environment(pod)
        known = {f"LIITY_{field}".upper() for one, _ in RIGHT.values() for field in one.model_fields}
        known |= {"LIITY_SETTINGS_DIR", "LIITY_MANAGEMENT_LISTEN"}
        assert {variable for variable in given if variable.startswith("LIITY_")} <= known
        with monkeypatch.context() as patch:
            for variable, value in given.items():
                patch.setenv(variable, str(tmp_path) if variable == "LIITY_SETTINGS_DIR" else value)
            load(RIGHT[component][0])
        seen.add(component)
        assert ("TEMPORAL_ADDRESS" in given) == PARTS[component].temporal
        assert given.get("TEMPORAL_NAMESPACE", "liity") != "default"
    assert seen == set(PARTS)


def test_monitoring_is_installed_where_it_is_asked_for() -> None:
    asked = {"podMonitor": True, "alerts": True, "dashboard": True, "labels": {"release": "prometheus"}}
    resources = rendered(PILOT | {"monitoring": asked})
    (monitor,) = named(resources, "PodMonitor").values()
    (rules,) = named(resources, "PrometheusRule").values()
    dashboard = named(resources, "ConfigMap")["dashboard"]
    for one in (monitor, rules, dashboard):
        assert one["metadata"]["labels"]["release"] == "prometheus"
    everyone = monitor["spec"]["selector"]["matchLabels"].items()
    for name, pod in pods(resources):
        if name in PARTS:
            assert everyone <= pod["metadata"]["labels"].items()
    assert [one["port"] for one in monitor["spec"]["podMetricsEndpoints"]] == ["management"]
    assert [rule for group in rules["spec"]["groups"] for rule in group["rules"]] == RULES
    assert json.loads(dashboard["data"]["liity.json"]) == DASHBOARD
    assert not named(rendered(PILOT), "PodMonitor")
    assert not named(rendered(PILOT), "PrometheusRule")


def test_a_changed_setting_restarts_the_pods() -> None:
    def annotations(values: Mapping[str, Any]) -> dict[str, str]:
        return {
            name: pod["metadata"]["annotations"]["checksum/settings"]
            for name, pod in pods(rendered(PILOT | dict(values)))
            if name in PARTS
        }

    before, after = annotations({}), annotations({"settings": {"LIITY_LOG_LEVEL": "DEBUG"}})
    assert all(before[name] != after[name] for name in PARTS)
