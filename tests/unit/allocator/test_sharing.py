"""When two Services may have one address: every condition, and the words for each that fails."""

from dataclasses import replace
from typing import Any

import pytest

from baremetal_lb.allocator.sharing import NO_SHARING, Sharing, sharing_of
from baremetal_lb.cluster.service import Port, parse_service

HTTP, HTTPS, DNS = Port("TCP", 80), Port("TCP", 443), Port("UDP", 80)
PODS, OTHER_PODS = frozenset({("app", "x")}), frozenset({("app", "y")})
WEB = Sharing("k", "shop", ports=frozenset({HTTP}))
TLS = replace(WEB, ports=frozenset({HTTPS}))
LOCAL = replace(TLS, local_selector=PODS)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        pytest.param(WEB, TLS, None, id="[C16] one key, other ports, both Cluster"),
        pytest.param(WEB, replace(WEB, ports=frozenset({DNS})), None, id="[C16] one number, other protocols"),
        pytest.param(WEB, replace(WEB, ports=frozenset()), None, id="no port at all"),
        pytest.param(
            WEB,
            WEB,
            "both have port 80/TCP",
            id="[C16] a port of both",
        ),
        pytest.param(
            replace(WEB, ports=frozenset({DNS, HTTP, HTTPS})),
            replace(WEB, ports=frozenset({HTTPS, DNS})),
            "both have port 443/TCP, 80/UDP",
            id="[C16] several ports of both",
        ),
        pytest.param(WEB, NO_SHARING, "both need the same annotation baremetal-lb.io/sharing-key", id="one has no key"),
        pytest.param(
            NO_SHARING, NO_SHARING, "both need the same annotation baremetal-lb.io/sharing-key", id="none has a key"
        ),
        pytest.param(
            WEB,
            replace(TLS, key="j"),
            "their annotations baremetal-lb.io/sharing-key differ (j and k)",
            id="[C16] other keys",
        ),
        pytest.param(
            WEB,
            replace(TLS, namespace="mail"),
            "each needs the other's namespace in baremetal-lb.io/sharing-namespaces (mail and shop)",
            id="[C18] another namespace without anybody's consent",
        ),
        pytest.param(
            replace(WEB, partners=frozenset({"mail"})),
            replace(TLS, namespace="mail"),
            "each needs the other's namespace in baremetal-lb.io/sharing-namespaces (mail and shop)",
            id="[C18] with the consent of one",
        ),
        pytest.param(
            replace(WEB, partners=frozenset({"mail"})),
            replace(TLS, namespace="mail", partners=frozenset({"store"})),
            "each needs the other's namespace in baremetal-lb.io/sharing-namespaces (mail and shop)",
            id="[C18] with consent to somebody else",
        ),
        pytest.param(
            replace(WEB, partners=frozenset({"mail"})),
            replace(TLS, namespace="mail", partners=frozenset({"shop"})),
            None,
            id="[C18] with the consent of both",
        ),
        pytest.param(
            replace(WEB, partners=frozenset({"*"})),
            replace(TLS, namespace="mail", partners=frozenset({"shop"})),
            None,
            id="[C18] one with all, the other by name",
        ),
        pytest.param(
            replace(WEB, local_selector=PODS), LOCAL, None, id="[C16] both Local, one selector, one namespace"
        ),
        pytest.param(
            WEB, LOCAL, "one has externalTrafficPolicy Local, the other Cluster", id="[C16] Local and Cluster"
        ),
        pytest.param(
            WEB,
            replace(LOCAL, local_selector=frozenset()),
            "one has externalTrafficPolicy Local, the other Cluster",
            id="[C16] Local without a selector is not Cluster",
        ),
        pytest.param(
            replace(WEB, local_selector=OTHER_PODS),
            LOCAL,
            "externalTrafficPolicy is Local, so both need the same selector",
            id="[C16] both Local, other selectors",
        ),
        pytest.param(
            replace(WEB, local_selector=frozenset()),
            replace(LOCAL, local_selector=frozenset()),
            "externalTrafficPolicy is Local, so both need the same selector",
            id="[C16] both Local, no selector: nothing tells that their Pods are the same",
        ),
        pytest.param(
            replace(WEB, local_selector=PODS, partners=frozenset({"*"})),
            replace(LOCAL, namespace="mail", partners=frozenset({"*"})),
            "externalTrafficPolicy is Local, so both must be in one namespace",
            id="[C18] both Local in two namespaces: one selector means other Pods there",
        ),
    ],
)
def test_two_services_may_share(one: Sharing, other: Sharing, why: str | None) -> None:
    assert one.refusal(other) == why
    assert other.refusal(one) == why


def sharing(annotations: dict[str, str], **spec: Any) -> Sharing:
    metadata = {"namespace": "shop", "name": "web", "annotations": annotations}
    return sharing_of(parse_service({"metadata": metadata, "spec": {"type": "LoadBalancer", **spec}}))


@pytest.mark.parametrize(
    ("annotations", "key"),
    [
        pytest.param({}, "", id="no annotation"),
        pytest.param({"baremetal-lb.io/sharing-key": ""}, "", id="[B8] an empty key is none"),
        pytest.param({"baremetal-lb.io/sharing-key": "  "}, "", id="[B8] a blank key is none"),
        pytest.param({"metallb.io/allow-shared-ip": ""}, "", id="[B8] an empty key of MetalLB's is none"),
        pytest.param({"baremetal-lb.io/sharing-key": " k "}, "k", id="blanks around it do not count"),
        pytest.param({"metallb.io/allow-shared-ip": "k"}, "k", id="[B10] MetalLB's annotation"),
        pytest.param({"metallb.universe.tf/allow-shared-ip": "k"}, "k", id="[B10] MetalLB's older annotation"),
        pytest.param(
            {"metallb.io/allow-shared-ip": "new", "metallb.universe.tf/allow-shared-ip": "old"},
            "new",
            id="[B10] the newer one counts",
        ),
    ],
)
def test_the_key(annotations: dict[str, str], key: str) -> None:
    assert sharing(annotations).key == key


@pytest.mark.parametrize(
    ("text", "partners"),
    [("", set()), ("mail", {"mail"}), (" mail , store,, ", {"mail", "store"}), ("*", {"*"})],
)
def test_the_partners(text: str, partners: set[str]) -> None:
    annotations = {"baremetal-lb.io/sharing-key": "k", "baremetal-lb.io/sharing-namespaces": text}

    assert sharing(annotations).partners == partners


@pytest.mark.parametrize(
    ("spec", "local_selector"),
    [
        pytest.param({"selector": {"app": "x"}}, None, id="Cluster, by default: the selector does not matter"),
        pytest.param({"externalTrafficPolicy": "Local", "selector": {"app": "x"}}, PODS, id="Local"),
        pytest.param({"externalTrafficPolicy": "Local"}, frozenset(), id="Local without a selector"),
    ],
)
def test_the_policy(spec: dict[str, Any], local_selector: frozenset[tuple[str, str]] | None) -> None:
    read = sharing({"baremetal-lb.io/sharing-key": "k"}, ports=[{"port": 80}, {"port": 80, "protocol": "UDP"}], **spec)

    assert read.local_selector == local_selector
    assert read.ports == {HTTP, DNS}
