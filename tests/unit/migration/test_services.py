"""Which Services would not keep the address that MetalLB gave them."""

from typing import Any

import pytest

from baremetal_lb.migration.metallb import migrate
from baremetal_lb.migration.notes import Note, Severity

Raw = dict[str, Any]

POOLS: list[Raw] = [
    {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": "metallb-system"},
        "spec": {"addresses": addresses},
    }
    for name, addresses in {
        "east": ["192.0.2.0/25", "2001:db8:7::/120"],
        "west": ["192.0.2.128/25"],
    }.items()
]
L2: Raw = {
    "apiVersion": "metallb.io/v1beta1",
    "kind": "L2Advertisement",
    "metadata": {"name": "lan", "namespace": "metallb-system"},
}
MARK = {"metallb.io/ip-allocated-from-pool": "east"}
KEY = {"metallb.io/allow-shared-ip": "door"}


def service(
    name: str,
    *ingress: str,
    namespace: str = "shop",
    annotations: Raw | None = None,
    port: int = 80,
    day: int = 1,
    **spec: Any,
) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotations or {},
            "creationTimestamp": f"2026-01-0{day}T00:00:00Z",
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIPs": ["10.96.0.9", "fd00::9"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "PreferDualStack",
            "ports": [{"port": port}],
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in ingress]}},
    }


def review(*services: Raw, load_balancer_class: str = "") -> tuple[Note, ...]:
    return migrate([*POOLS, L2, *services], load_balancer_class).notes


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(service("web", "192.0.2.1", "2001:db8:7::1", annotations=MARK), id="a dual-stack Service"),
        pytest.param(service("web", "2001:db8:7::1"), id="a Service of IPv6"),
        pytest.param(service("web"), id="a Service that waits"),
        pytest.param(service("web", "192.0.2.1", loadBalancerIP="192.0.2.1"), id="an address asked for in the spec"),
        pytest.param(
            service("web", "192.0.2.1", annotations={"metallb.universe.tf/loadBalancerIPs": "192.0.2.1"}),
            id="an address asked for by annotation",
        ),
        pytest.param(
            service("web", "192.0.2.200", annotations={"metallb.io/address-pool": "west"}), id="a pool asked for"
        ),
        pytest.param(
            service("web", "203.0.113.1", loadBalancerClass="example.com/other"), id="another controller's Service"
        ),
        pytest.param(service("web", "203.0.113.1", type="ClusterIP"), id="no LoadBalancer"),
    ],
)
def test_nothing_is_said_of(served: Raw) -> None:
    assert review(served) == ()


@pytest.mark.parametrize(
    ("endangered", "severity", "words"),
    [
        pytest.param(
            service("web", "203.0.113.1"), Severity.ERROR, "add 203.0.113.1/32", id="an IPv4 address of no pool"
        ),
        pytest.param(
            service("web", "2001:db8:9::1"), Severity.ERROR, "add 2001:db8:9::1/128", id="an IPv6 address of no pool"
        ),
        pytest.param(
            service("web", "192.0.2.1", annotations=MARK, loadBalancerClass="example.com/lb"),
            Severity.ERROR,
            "--load-balancer-class example.com/lb",
            id="MetalLB's Service of a class that no pool serves",
        ),
        pytest.param(
            service("web", "192.0.2.1", loadBalancerIP="192.0.2.2"),
            Severity.ERROR,
            "asks for 192.0.2.2 and has 192.0.2.1",
            id="one that asks for another address",
        ),
        pytest.param(
            service("web", "192.0.2.1", annotations={"metallb.io/address-pool": "west"}),
            Severity.ERROR,
            "asks for pool west and has 192.0.2.1 of east",
            id="one that asks for another pool",
        ),
        pytest.param(
            service("web", "192.0.2.1", annotations={"metallb.io/address-pool": "gone"}),
            Severity.WARNING,
            "asks for pool gone",
            id="one that asks for no pool of these",
        ),
        pytest.param(
            service(
                "web",
                "192.0.2.1",
                loadBalancerIP="192.0.2.1",
                annotations={"metallb.io/loadBalancerIPs": "192.0.2.2"},
            ),
            Severity.WARNING,
            "remove one of the two",
            id="field and annotation that differ",
        ),
        pytest.param(
            service(
                "web",
                "192.0.2.1",
                annotations={"metallb.io/address-pool": "east", "metallb.universe.tf/address-pool": "west"},
            ),
            Severity.WARNING,
            "ask for different things",
            id="two spellings that differ",
        ),
    ],
)
def test_something_is_said_of(endangered: Raw, severity: Severity, words: str) -> None:
    (note,) = review(endangered)
    assert (note.severity, note.subject) == (severity, "Service shop/web")
    assert words in note.text


def test_with_a_class_the_services_without_one_are_not_metallbs() -> None:
    (note,) = review(service("web", "192.0.2.1", annotations=MARK), load_balancer_class="example.com/lb")
    assert "no --load-balancer-class" in note.text
    assert review(service("web", "192.0.2.1"), load_balancer_class="example.com/lb") == ()


class TestSharing:
    def test_of_one_namespace_is_kept(self) -> None:
        one = service("a", "192.0.2.1", annotations=KEY)
        other = service("b", "192.0.2.1", annotations=KEY, port=443)
        assert review(one, other) == ()

    def test_across_namespaces_needs_the_word_of_both(self) -> None:
        one = service("a", "192.0.2.1", annotations=KEY, day=2)
        other = service("b", "192.0.2.1", annotations=KEY, port=443, namespace="bank")
        (note,) = review(one, other)
        assert (note.severity, note.subject) == (Severity.ERROR, "Service shop/a")
        assert note.commands == (
            "kubectl annotate service --overwrite --namespace bank b baremetal-lb.io/sharing-namespaces=shop",
            "kubectl annotate service --overwrite --namespace shop a baremetal-lb.io/sharing-namespaces=bank",
        )

    def test_the_commands_together_are_enough(self) -> None:
        """Also where three share two addresses, and one names a namespace already."""
        named = {**KEY, "baremetal-lb.io/sharing-namespaces": "lab"}
        three = [
            service("a", "192.0.2.1", "2001:db8:7::1", annotations=named, namespace="shop"),
            service("b", "192.0.2.1", annotations=KEY, port=443, namespace="bank"),
            service("c", "192.0.2.1", "2001:db8:7::1", annotations=KEY, port=22, namespace="yard"),
        ]
        commands = {command for note in review(*three) for command in note.commands}
        for command in commands:
            *_, namespace, _name, assignment = command.split()
            key, _, value = assignment.partition("=")
            (target,) = (one for one in three if one["metadata"]["namespace"] == namespace)
            target["metadata"]["annotations"] = {**target["metadata"]["annotations"], key: value}
        assert len(commands) == 3
        assert three[0]["metadata"]["annotations"]["baremetal-lb.io/sharing-namespaces"] == "bank,lab,yard"
        assert review(*three) == ()

    @pytest.mark.parametrize(
        ("one", "other", "words"),
        [
            pytest.param({}, {"namespace": "bank", "annotations": {}}, "sharing-key", id="without a key"),
            pytest.param({"port": 80}, {"port": 80}, "80/TCP", id="on one port"),
            pytest.param(
                {"externalTrafficPolicy": "Local", "selector": {"app": "a"}},
                {"externalTrafficPolicy": "Local", "selector": {"app": "b"}},
                "same selector",
                id="Local with two selectors",
            ),
            pytest.param(
                {"externalTrafficPolicy": "Local", "selector": {"app": "a"}},
                {"externalTrafficPolicy": "Local", "selector": {"app": "a"}, "namespace": "bank"},
                "one namespace",
                id="Local in two namespaces",
            ),
            pytest.param(
                {"externalTrafficPolicy": "Local"}, {}, "the other Cluster", id="Local without a selector, and Cluster"
            ),
        ],
    )
    def test_that_is_not_possible_here_is_told(self, one: Raw, other: Raw, words: str) -> None:
        defaults: Raw = {"annotations": {**KEY, "baremetal-lb.io/sharing-namespaces": "*"}}
        (note,) = review(
            service("a", "192.0.2.1", **{**defaults, "port": 443, **one}),
            service("b", "192.0.2.1", **{**defaults, **other}),
        )
        assert note.severity is Severity.ERROR
        assert words in note.text
        assert note.commands == ()
