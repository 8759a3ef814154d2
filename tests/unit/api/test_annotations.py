"""Which spelling of an annotation counts, and what users are told of the others."""

import pytest

from baremetal_lb.api.annotations import Annotation, annotation, contradictions
from baremetal_lb.cluster.service import OUR_ANNOTATION_PREFIXES

OURS = "baremetal-lb.io/addresses"
METALLB = "metallb.io/loadBalancerIPs"
KEY, OLD_KEY = "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"
OLD_METALLB = "metallb.universe.tf/loadBalancerIPs"


@pytest.mark.parametrize(
    ("annotations", "value"),
    [
        pytest.param({}, None, id="none is there"),
        pytest.param({OURS: "192.0.2.1"}, "192.0.2.1", id="ours"),
        pytest.param({METALLB: "2001:db8::1"}, "2001:db8::1", id="MetalLB's"),
        pytest.param({OLD_METALLB: "192.0.2.1"}, "192.0.2.1", id="MetalLB's older one"),
        pytest.param({OLD_METALLB: "3", METALLB: "2", OURS: "1"}, "1", id="ours is the strongest"),
        pytest.param({OLD_METALLB: "3", METALLB: "2"}, "2", id="MetalLB's present one beats its older one"),
        pytest.param({OURS: " ", METALLB: "2"}, "2", id="a blank one does not count"),
        pytest.param({OURS: "  192.0.2.1 "}, "192.0.2.1", id="blanks around the value do not count"),
        pytest.param({"metallb.io/address-pool": "gold"}, None, id="another annotation is another annotation"),
    ],
)
def test_the_strongest_spelling_counts(annotations: dict[str, str], value: str | None) -> None:
    assert annotation(annotations, Annotation.ADDRESSES) == value


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param("baremetal-lb.io/pool", Annotation.POOL, id="our pool"),
        pytest.param("metallb.io/address-pool", Annotation.POOL, id="MetalLB's pool"),
        pytest.param("metallb.universe.tf/address-pool", Annotation.POOL, id="MetalLB's older pool"),
        pytest.param("baremetal-lb.io/addresses", Annotation.ADDRESSES, id="our addresses"),
        pytest.param("metallb.io/loadBalancerIPs", Annotation.ADDRESSES, id="MetalLB's addresses"),
        pytest.param("metallb.universe.tf/loadBalancerIPs", Annotation.ADDRESSES, id="MetalLB's older addresses"),
        pytest.param("baremetal-lb.io/sharing-key", Annotation.SHARING_KEY, id="our sharing key"),
        pytest.param("metallb.io/allow-shared-ip", Annotation.SHARING_KEY, id="MetalLB's sharing key"),
        pytest.param("metallb.universe.tf/allow-shared-ip", Annotation.SHARING_KEY, id="[B10] MetalLB's older one"),
        pytest.param(
            "baremetal-lb.io/sharing-namespaces", Annotation.SHARING_NAMESPACES, id="our consent, which MetalLB has not"
        ),
        pytest.param("baremetal-lb.io/from-pool", Annotation.FROM_POOL, id="our note"),
        pytest.param("metallb.io/ip-allocated-from-pool", Annotation.FROM_POOL, id="[B9] MetalLB's note"),
        pytest.param("metallb.universe.tf/ip-allocated-from-pool", Annotation.FROM_POOL, id="[B10] its older one"),
    ],
)
def test_a_spelling_means_one_annotation(key: str, name: Annotation) -> None:
    assert [one for one in Annotation if annotation({key: "x"}, one) == "x"] == [name]


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        pytest.param({OURS: "192.0.2.1", METALLB: "192.0.2.1"}, [], id="the same value twice"),
        pytest.param({OURS: "192.0.2.1,2001:db8::1", METALLB: "2001:db8::1, 192.0.2.1"}, [], id="another order"),
        pytest.param(
            {OURS: "192.0.2.1", METALLB: "192.0.2.2"},
            [f"annotations {OURS} and {METALLB} ask for different things; remove one of the two"],
            id="two values",
        ),
        pytest.param(
            {OURS: "192.0.2.1", METALLB: "192.0.2.2", OLD_METALLB: "192.0.2.3"},
            [
                f"annotations {OURS} and {METALLB} ask for different things; remove one of the two",
                f"annotations {OURS} and {OLD_METALLB} ask for different things; remove one of the two",
            ],
            id="three values",
        ),
        pytest.param({OURS: "gold", "metallb.io/address-pool": "silver"}, [], id="two different annotations"),
        pytest.param({OURS: "192.0.2.1", METALLB: " "}, [], id="a blank one contradicts nothing"),
        pytest.param(
            {KEY: "a", OLD_KEY: "b"},
            [f"annotations {KEY} and {OLD_KEY} ask for different things; remove one of the two"],
            id="[B10] two keys of MetalLB's",
        ),
        pytest.param(
            {"baremetal-lb.io/from-pool": "gold", "metallb.io/ip-allocated-from-pool": "silver"},
            [],
            id="[B9] notes, which ask for nothing",
        ),
    ],
)
def test_contradictions_are_told(annotations: dict[str, str], told: list[str]) -> None:
    assert [str(one) for one in contradictions(annotations)] == told


def test_only_what_metallb_knows_has_its_names() -> None:
    assert Annotation.SHARING_NAMESPACES.spellings == ("baremetal-lb.io/sharing-namespaces",)


def test_the_view_of_a_service_keeps_every_spelling() -> None:
    assert all(key.startswith(OUR_ANNOTATION_PREFIXES) for name in Annotation for key in name.spellings)
