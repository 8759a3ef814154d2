"""`baremetal-lb explain service`: what is told of which cluster, in 80 columns, as JSON, and by exit codes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from baremetal_lb.cli import announcing, cluster
from baremetal_lb.cli.main import app
from baremetal_lb.kube.client import ApiError, KubeClient

SERVICES, NAMESPACES = "/api/v1/services", "/api/v1/namespaces"
SERVICES_OF_SHOP = f"{NAMESPACES}/shop/services"
POOLS, CLAIMS = "/apis/baremetal-lb.io/v1/ipaddresspools", "/apis/baremetal-lb.io/v1/ipaddressclaims"
NODES, SERVICE_CIDRS = "/api/v1/nodes", "/apis/networking.k8s.io/v1/servicecidrs"
SLICES, LEASES = (
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/coordination.k8s.io/v1/namespaces/baremetal-lb-system/leases",
)
STATUSES, ADVERTISEMENTS = (f"/apis/baremetal-lb.io/v1/{plural}" for plural in ("speakerstatuses", "l2advertisements"))
COLUMNS = 80


class SimulatedApi(KubeClient):
    """Lists of objects; what is named in `refused` is answered with that status."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {
            path: []
            for path in (SERVICES, POOLS, CLAIMS, NODES, SERVICE_CIDRS, SLICES, LEASES, STATUSES, ADVERTISEMENTS)
        }
        self.namespace: dict[str, Any] = {"metadata": {"name": "shop"}}
        self.objects[NAMESPACES] = [{"metadata": {"name": "bank"}}, self.namespace]
        self.refused: dict[str, int] = {LEASES: 403}
        """By default nobody may know who announces what."""
        self.renewals = 0

    async def get(self, path: str, **query: str | int) -> dict[str, Any]:
        if status := self.refused.get(path):
            raise ApiError(status, {403: "Forbidden", 404: "NotFound"}.get(status, "Broken"), f"no {path}")
        if path == LEASES:
            self.renewals += 1
        if path == SERVICES_OF_SHOP:
            items = [one for one in self.objects[SERVICES] if one["metadata"]["namespace"] == "shop"]
        else:
            items = [self.renewed(one) for one in self.objects[path]]
        if selector := query.get("fieldSelector"):
            items = [one for one in items if f"metadata.name={one['metadata']['name']}" == selector]
        start = int(query.get("continue", 0))
        end = min(start + int(query.get("limit", len(items))), len(items))
        return {"metadata": {"continue": str(end)} if end < len(items) else {}, "items": items[start:end]}

    def renewed(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Living speakers renew their Leases between any two looks."""
        return {**raw, "spec": {**raw["spec"], "renewTime": self.renewals}} if raw.get("alive") else raw

    async def close(self) -> None:
        pass

    def add_node(
        self,
        name: str,
        *holds: str,
        alive: bool = True,
        not_ready_since: str = "",
        conflicts: tuple[str, ...] = (),
        **spec: Any,
    ) -> None:
        ready = {"type": "Ready", "status": "False" if not_ready_since else "True"}
        conditions = [{**ready, "lastTransitionTime": not_ready_since or "2026-01-01T00:00:00Z"}]
        self.objects[NODES].append({"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}})
        lease = {"holderIdentity": f"{name}/1", "renewTime": 0, "leaseDurationSeconds": 1 if alive else 0}
        self.objects[LEASES].append({"metadata": {"name": f"speaker-{name}"}, "spec": lease, "alive": alive})
        status = {
            "addresses": [{"address": one, "term": 1, "since": "2026-01-01T12:00:00Z"} for one in holds],
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01"}],
            "conflicts": [{"address": one, "mac": "02:00:00:00:00:09"} for one in conflicts],
        }
        self.objects[STATUSES].append({"metadata": {"name": name}, "status": status})

    def announce(self, service: str, *nodes: str) -> None:
        """Let everybody see who announces what, everything be announced, and the Service have endpoints."""
        self.refused.clear()
        self.objects[ADVERTISEMENTS] = [{"metadata": {"name": "all"}, "spec": {}}]
        labels = {"kubernetes.io/service-name": service}
        endpoints = [{"addresses": ["10.244.0.9"], "nodeName": node} for node in nodes]
        self.objects[SLICES].append(
            {"metadata": {"name": f"{service}-1", "namespace": "shop", "labels": labels}, "endpoints": endpoints}
        )

    def add_pool(self, name: str, *addresses: str, **spec: Any) -> None:
        self.objects[POOLS].append(
            {
                "metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{len(self.objects[POOLS]):02}Z"},
                "spec": {"addresses": list(addresses), **spec},
            }
        )

    def add_service(
        self,
        name: str,
        *ingress: str,
        namespace: str = "shop",
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> None:
        self.objects[SERVICES].append(
            {
                "metadata": {
                    "namespace": namespace,
                    "name": name,
                    "uid": name,
                    "creationTimestamp": f"2026-01-01T00:00:{len(self.objects[SERVICES]):02}Z",
                    "annotations": dict(annotations or {}),
                },
                "spec": {
                    "type": "LoadBalancer",
                    "ipFamilies": ["IPv4"],
                    "clusterIPs": ["10.96.0.9"],
                    "ports": [{"port": 80 + len(self.objects[SERVICES])}],
                    **spec,
                },
                "status": {"loadBalancer": {"ingress": [{"ip": one} for one in ingress]}},
            }
        )

    def add_claim(self, name: str, address: str, service: str) -> None:
        reference = {"namespace": "shop", "name": service}
        self.objects[CLAIMS].append(
            {"metadata": {"name": name}, "spec": {"addresses": [address], "service": reference}}
        )


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> SimulatedApi:
    simulated = SimulatedApi()

    async def connect(*_: object) -> KubeClient:
        return simulated

    monkeypatch.setattr(KubeClient, "connect", connect)
    monkeypatch.setattr(announcing, "LOOK_SECONDS", 0.0)
    return simulated


def run(name: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", "service", name, *arguments], env={"COLUMNS": str(COLUMNS)})


def told(name: str = "shop/web") -> tuple[int, dict[str, Any]]:
    answer = run(name, "--output=json")
    return answer.exit_code, json.loads(answer.stdout)


def pools(explanation: dict[str, Any]) -> list[tuple[str, bool, str]]:
    (family,) = explanation["families"]
    return [(one["pool"], one["taken"], one["reason"]) for one in family["pools"]]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_every_pool_is_told_in_order_and_the_one_taken_is_marked(api: SimulatedApi) -> None:
    api.add_pool("later", "198.51.100.0/24")
    api.add_pool("theirs", "203.0.113.0/24", serviceAllocation={"namespaces": ["bank"]})
    api.add_pool("full", "192.0.2.1/32", serviceAllocation={})
    api.add_pool("ours", "192.0.2.8/30", serviceAllocation={})
    api.add_service("first", "192.0.2.1")
    api.add_service("web", "192.0.2.8")
    code, explanation = told()
    assert code == 0
    assert pools(explanation) == [
        ("theirs", False, "PoolNotPermitted"),
        ("full", False, "PoolExhausted"),
        ("ours", True, "Assigned"),
        ("later", False, "CouldServe"),
    ]
    assert explanation["has"] == [{"address": "192.0.2.8", "pool": "ours", "poolHasIt": True}]


@pytest.mark.parametrize(
    ("family", "pool", "address"),
    [
        pytest.param("IPv4", "192.0.2.0/31", "192.0.2.0", id="of IPv4"),
        pytest.param("IPv6", "2001:db8::/127", "2001:db8::", id="of IPv6"),
    ],
)
def test_what_it_would_get_is_not_what_it_has(api: SimulatedApi, family: str, pool: str, address: str) -> None:
    api.add_pool("lan", pool)
    api.add_service("web", ipFamilies=[family])
    code, explanation = told()
    assert code == 1
    assert explanation["addresses"] == [address]
    assert explanation["has"] == []
    assert pools(explanation) == [("lan", True, "Assigned")]
    assert f"{address} not in its status yet" in squeezed(run("shop/web").stdout)


def test_one_family_of_two_is_not_all_that_it_asks_for(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_service("web", "192.0.2.0", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
    code, explanation = told()
    assert (code, explanation["outcome"]["reason"]) == (1, "Assigned")
    assert [one["refusal"] and one["refusal"]["reason"] for one in explanation["families"]] == [None, "NoPoolForFamily"]


def test_what_it_asks_for_is_told(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_claim("kept", "192.0.2.7", "web")
    wishes = {
        "metallb.io/loadBalancerIPs": "192.0.2.9",
        "baremetal-lb.io/pool": "lan",
        "baremetal-lb.io/sharing-key": "k",
        "baremetal-lb.io/sharing-namespaces": "bank,*",
    }
    api.add_service("web", annotations=wishes, loadBalancerClass="baremetal-lb.io/load-balancer")
    _, explanation = told()
    assert explanation["asksFor"] == {
        "families": ["IPv4"],
        "familyPolicy": "SingleStack",
        "addresses": ["192.0.2.9"],
        "pool": "lan",
        "loadBalancerClass": "baremetal-lb.io/load-balancer",
        "sharingKey": "k",
        "sharingNamespaces": ["*", "bank"],
        "claimed": ["192.0.2.7"],
    }


def test_who_else_is_on_its_address_is_told(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    sharing = {"baremetal-lb.io/sharing-key": "k"}
    api.add_service("other", "192.0.2.0", annotations=sharing)
    api.add_service("web", "192.0.2.0", annotations=sharing)
    code, explanation = told()
    assert code == 0
    assert explanation["neighbours"] == [
        {"address": "192.0.2.0", "service": "shop/other", "shared": True, "obstacle": None}
    ]
    assert "192.0.2.0 shared with Service shop/other" in squeezed(run("shop/web").stdout)


def test_all_services_count_however_many_there_are(api: SimulatedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "OBJECTS_PER_PAGE", 2)
    api.add_pool("lan", "192.0.2.0/29")
    for number in range(5):
        api.add_service(f"s{number}", f"192.0.2.{number}")
    api.add_service("web")
    assert told()[1]["addresses"] == ["192.0.2.5"]


def test_a_pool_that_is_not_in_force_is_told(api: SimulatedApi) -> None:
    """A user looks for it here."""
    api.add_pool("older", "192.0.2.0/24")
    api.add_pool("younger", "192.0.2.128/25")
    api.add_pool("broken", "192.0.2.300/32")
    api.add_service("web", "192.0.2.0")
    _, explanation = told()
    assert [(one["name"], one["reason"]) for one in explanation["notInForce"]] == [
        ("broken", "InvalidSpec"),
        ("younger", "Conflict"),
    ]
    assert "IPAddressPool younger Conflict" in squeezed(run("shop/web").stdout)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"type": "ClusterIP"}, "it is not of type LoadBalancer", id="of another type"),
        pytest.param({"loadBalancerClass": "example.com/x"}, "no pool serves its loadBalancerClass", id="of a class"),
    ],
)
def test_a_service_that_is_not_ours_is_told_so(api: SimulatedApi, spec: dict[str, Any], expected: str) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_service("web", **spec)
    code, explanation = told()
    assert (code, explanation["outcome"]["reason"]) == (1, None)
    assert expected in explanation["outcome"]["message"]
    assert expected in squeezed(run("shop/web").stdout)


def test_a_request_that_cannot_be_read_is_told(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_service("web", annotations={"baremetal-lb.io/addresses": "here"})
    code, explanation = told()
    assert (code, explanation["outcome"]["reason"]) == (1, "InvalidRequest")
    assert explanation["families"] == []


@pytest.mark.parametrize(
    ("path", "status", "note"),
    [
        pytest.param(NODES, 403, "Nodes and ServiceCIDRs can't be read (Forbidden)", id="nodes"),
        pytest.param(CLAIMS, 404, "IPAddressClaims can't be read (NotFound)", id="claims"),
        pytest.param(NAMESPACES, 403, "Namespaces can't be read (Forbidden)", id="namespaces"),
        pytest.param(SERVICES, 403, "Services of other namespaces can't be read", id="Services of others"),
    ],
)
def test_what_may_not_be_read_is_told_and_the_rest_explained(
    api: SimulatedApi, path: str, status: int, note: str
) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_service("web", "192.0.2.0")
    api.refused[path] = status
    code, explanation = told()
    assert code == 0
    assert [one for one in explanation["notKnown"] if one.startswith(note)]
    assert note in squeezed(run("shop/web").stdout)


def test_the_rules_for_a_namespace_count(api: SimulatedApi) -> None:
    tenants = {"matchLabels": {"tenant": "gold"}}
    api.add_pool("lan", "192.0.2.0/24", serviceAllocation={"namespaceSelectors": [tenants]})
    api.add_service("web", "192.0.2.0")
    assert pools(told()[1]) == [("lan", True, "AddressKept")]
    api.namespace["metadata"]["labels"] = {"tenant": "gold"}
    assert pools(told()[1]) == [("lan", True, "Assigned")]


def test_an_address_of_a_node_is_not_free(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.1/32")
    api.add_service("web")
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
    api.objects[NODES].append({"metadata": {"name": "node1"}, "status": {"addresses": addresses}})
    assert pools(told()[1]) == [("lan", False, "PoolExhausted")]


def test_it_fits_into_80_columns(api: SimulatedApi) -> None:
    api.add_pool("a-pool-with-a-rather-long-name-as-gitops-makes-them", "192.0.2.0/24")
    api.add_pool("younger", "192.0.2.128/25", "2001:db8::/64")
    api.add_service("web", "192.0.2.0", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
    text = run("shop/web").stdout
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert "NoPoolForFamily" in text


@pytest.fixture
def announced(api: SimulatedApi) -> SimulatedApi:
    """One Service with an address of each family, of which node2 announces both."""
    api.add_pool("lan", "192.0.2.0/24", "2001:db8::/112")
    api.add_service("web", "192.0.2.0", "2001:db8::", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
    api.announce("web", "node1")
    api.add_node("node1")
    api.add_node("node2", "192.0.2.0", "2001:db8::")
    api.add_node("node3")
    return api


@pytest.mark.usefixtures("announced")
def test_who_announces_each_address_is_told() -> None:
    """The holder, since when, on what, who follows, and each node's reason."""
    code, explanation = told()
    assert (code, explanation["notKnown"]) == (0, [])
    for one, address in zip(explanation["announcing"], ["192.0.2.0", "2001:db8::"], strict=True):
        assert set(one.pop("successors")) == {"node1", "node3"}
        assert one == {
            "address": address,
            "announced": True,
            "reason": "Announced",
            "holder": "node2",
            "since": "2026-01-01T12:00:00Z",
            "interfaces": ["eth0"],
            "conflict": None,
            "nodes": [
                {"node": "node1", "reason": "NotElected"},
                {"node": "node2", "reason": "Elected"},
                {"node": "node3", "reason": "NotElected"},
            ],
        }
    text = run("shop/web").stdout
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert "2001:db8::: announced by node2" in text
    assert "> node2 Elected on eth0 since 2026-01-01T12:00:00Z" in squeezed(text)
    assert "follows as number 1" in text


def node_reasons(explanation: dict[str, Any]) -> list[dict[str, str]]:
    return [{one["node"]: one["reason"] for one in answer["nodes"]} for answer in explanation["announcing"]]


def test_every_node_has_its_reason(announced: SimulatedApi) -> None:
    announced.objects[ADVERTISEMENTS][0]["spec"] = {"cordonedNodes": "Leave"}
    announced.add_node("node4", alive=False)
    announced.add_node("node5", unschedulable=True)
    announced.add_node("node6", not_ready_since="2026-01-01T00:00:00Z")
    announced.add_node("node7", taints=[{"key": "node.kubernetes.io/out-of-service"}])
    expected = {
        "node1": "NotElected",
        "node2": "Elected",
        "node3": "NotElected",
        "node4": "SpeakerNotAlive",
        "node5": "NodeCordoned",
        "node6": "NodeNotReady",
        "node7": "NodeOutOfService",
    }
    assert node_reasons(told()[1]) == [expected, expected]


def test_why_nobody_announces_is_told_also_by_the_exit_code(announced: SimulatedApi) -> None:
    announced.objects[SLICES].clear()
    code, explanation = told()
    assert code == 1
    assert [(one["announced"], one["reason"]) for one in explanation["announcing"]] == [(False, "NoEndpoint")] * 2
    assert "192.0.2.0: not announced (NoEndpoint)" in run("shop/web").stdout


def test_a_holder_that_a_foreign_host_keeps_from_announcing(api: SimulatedApi) -> None:
    api.add_pool("lan", "192.0.2.0/24")
    api.add_service("web", "192.0.2.0")
    api.announce("web", "node1")
    api.add_node("node1", conflicts=("192.0.2.0",))
    code, explanation = told()
    assert (code, explanation["announcing"][0]["reason"]) == (1, "AddressConflict")
    assert "has not begun; the host 02:00:00:00:00:09 uses it" in squeezed(run("shop/web").stdout)


def test_a_speaker_that_let_its_lease_go_is_not_waited_for(announced: SimulatedApi) -> None:
    announced.objects[LEASES][0] = {"metadata": {"name": "speaker-node1"}, "spec": {"leaseDurationSeconds": 3}}
    assert node_reasons(told()[1])[0]["node1"] == "SpeakerNotAlive"


@pytest.mark.parametrize("path", [SLICES, LEASES, STATUSES, ADVERTISEMENTS])
def test_who_announces_is_told_completely_or_not_at_all(announced: SimulatedApi, path: str) -> None:
    announced.refused[path] = 403
    code, explanation = told()
    assert (code, explanation["announcing"]) == (0, None)
    assert explanation["notKnown"] == [f"who announces the addresses: no {path}"]


def test_a_service_without_an_address_is_announced_by_nobody(announced: SimulatedApi) -> None:
    announced.add_service("other")
    assert told("shop/other")[1]["announcing"] == []


@pytest.mark.parametrize("name", ["web", "shop/", "/web", "shop/web/x"])
@pytest.mark.usefixtures("api")
def test_a_name_must_be_complete(name: str) -> None:
    answer = run(name)
    assert answer.exit_code == 2
    assert "NAMESPACE/NAME" in answer.stderr


@pytest.mark.usefixtures("api")
def test_an_unknown_service_is_told() -> None:
    answer = run("shop/web")
    assert answer.exit_code == 2
    assert answer.stderr == "there is no Service shop/web\n"


def test_without_any_access_nothing_is_made_up(api: SimulatedApi) -> None:
    api.refused = {SERVICES: 403, SERVICES_OF_SHOP: 403}
    answer = run("shop/web")
    assert answer.exit_code == 2
    assert "the cluster can't be read: 403 Forbidden" in answer.stderr


@pytest.mark.parametrize("path", [SERVICES, POOLS, NODES])
def test_a_server_that_fails_is_told(api: SimulatedApi, path: str) -> None:
    api.add_service("web")
    api.refused[path] = 500
    assert run("shop/web").exit_code == 2


def test_a_cluster_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    answer = run("shop/web", "--kubeconfig", str(tmp_path / "none"))
    assert answer.exit_code == 2
    assert "the cluster can't be read" in answer.stderr
