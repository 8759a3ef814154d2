"""The API server and we refuse the same custom resources; each refusal by the API server says what to do."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from random import Random
from typing import Any

import pytest

from baremetal_lb.api.base import CustomResource, InvalidResourceError
from baremetal_lb.api.claim import ADDRESSES_MAX, DESCRIPTION_LENGTH_MAX, IPAddressClaim
from baremetal_lb.api.l2 import INTERFACES_MAX, POOLS_MAX, L2Advertisement
from baremetal_lb.api.pool import CLASSES_MAX, ENTRIES_MAX, NAMESPACES_MAX, IPAddressPool
from baremetal_lb.api.selector import SELECTORS_MAX
from baremetal_lb.api.status import CONFLICTS_MAX, HELD_MAX, NETWORKS_MAX, OFFERED_MAX
from baremetal_lb.lab.api import RequestError
from baremetal_lb.lab.lab import Lab

CRDS = Path(__file__).parents[2] / "crds"
RANDOM_RANGES = 400

Refusal = str | None
Ask = Callable[[type[CustomResource], dict[str, Any]], Refusal]


@pytest.fixture(scope="module")
def ask(bare_lab: Lab) -> Ask:
    """Ask the API server whether it would take an object, and why not."""
    bare_lab.kubectl("apply", "-k", str(CRDS))
    bare_lab.kubectl("wait", "--for=condition=Established", "crd", "--all")

    def ask(kind: type[CustomResource], spec: dict[str, Any]) -> Refusal:
        path = f"/apis/baremetal-lb.io/v1/{kind.names.plural}?dryRun=All&fieldValidation=Strict"
        body = {"apiVersion": "baremetal-lb.io/v1", "kind": kind.__name__, **raw(spec)}
        try:
            bare_lab.request("POST", path, body)
        except RequestError as error:
            return str(error) if error.status == 422 else pytest.fail(str(error))
        return None

    return ask


def raw(spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "example"}, "spec": spec}


def our_refusal(kind: type[CustomResource], spec: dict[str, Any]) -> Refusal:
    try:
        kind.read(raw(spec))
    except InvalidResourceError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("192.0.2.0/24", id="an IPv4 CIDR"),
        pytest.param("2001:db8::/64", id="an IPv6 CIDR"),
        pytest.param("192.0.2.7/32", id="one IPv4 address"),
        pytest.param("2001:db8::7/128", id="one IPv6 address"),
        pytest.param("0.0.0.0/0", id="all of IPv4"),
        pytest.param("::/0", id="all of IPv6"),
        pytest.param("2001:DB8:0:0::/64", id="an IPv6 CIDR that is not in its shortest form"),
        pytest.param("64:ff9b::192.0.2.0/120", id="an IPv6 CIDR with dots"),
        pytest.param("192.0.2.10-192.0.2.20", id="an IPv4 range"),
        pytest.param("2001:db8::10-2001:db8::20", id="an IPv6 range"),
        pytest.param(" 192.0.2.10 - 192.0.2.20 ", id="blanks around the ends of an IPv4 range"),
        pytest.param("2001:db8::10 - 2001:db8::20", id="blanks around the dash of an IPv6 range"),
        pytest.param("192.0.2.10-192.0.2.10", id="an IPv4 range of one"),
        pytest.param("2001:db8::1-2001:db8:0::1", id="an IPv6 range of one in two spellings"),
        pytest.param("9.255.255.255-10.0.0.0", id="an IPv4 range in order as numbers but not as text"),
        pytest.param("2001:db8::9-2001:db8::10", id="an IPv6 range in order as numbers but not as text"),
        pytest.param("0.0.0.0-255.255.255.255", id="an IPv4 range whose ends differ in the first bit"),
        pytest.param(
            "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", id="an IPv6 range whose ends differ in the first bit"
        ),
        pytest.param("192.0.2.0-192.0.2.1", id="an IPv4 range whose ends differ in the last bit"),
        pytest.param("2001:db8::-2001:db8::1", id="an IPv6 range whose ends differ in the last bit"),
        pytest.param("64:ff9b::192.0.2.9-64:ff9b::192.0.2.10", id="an IPv6 range with dots"),
    ],
)
def test_both_take_a_pool_with(ask: Ask, entry: str) -> None:
    spec = {"addresses": [entry]}
    assert ask(IPAddressPool, spec) is None
    assert our_refusal(IPAddressPool, spec) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param("192.0.2.7", "single address; write 192.0.2.7/32", id="a bare IPv4 address"),
        pytest.param("2001:db8::7", "single address; write 2001:db8::7/128", id="a bare IPv6 address"),
        pytest.param("", "neither a CIDR nor a range", id="nothing"),
        pytest.param("all", "neither a CIDR nor a range", id="a word"),
        pytest.param("fe80::1%eth0", "neither a CIDR nor a range", id="a bare address with a zone"),
        pytest.param("192.0.2.0/33", "not a CIDR", id="an IPv4 prefix that is too long"),
        pytest.param("2001:db8::/129", "not a CIDR", id="an IPv6 prefix that is too long"),
        pytest.param("192.0.2.0/", "not a CIDR", id="an IPv4 CIDR without a length"),
        pytest.param("2001:db8::/", "not a CIDR", id="an IPv6 CIDR without a length"),
        pytest.param("192.0.2.0/024", "not a CIDR", id="an IPv4 prefix length with a leading zero"),
        pytest.param("2001:db8::/064", "not a CIDR", id="an IPv6 prefix length with a leading zero"),
        pytest.param("192.0.2.0/+24", "not a CIDR", id="a prefix length with a sign"),
        pytest.param("192.0.2.0/255.255.255.0", "not a CIDR", id="a netmask"),
        pytest.param("192.0.2.0/24/24", "not a CIDR", id="two slashes"),
        pytest.param("192.0.2.00/24", "not a CIDR", id="an IPv4 address with a leading zero"),
        pytest.param("192.0.2.0/24 ", "not a CIDR", id="a blank after a CIDR"),
        pytest.param(" 2001:db8::/64", "not a CIDR", id="a blank before a CIDR"),
        pytest.param("192.0.2.0 /24", "not a CIDR", id="a blank before the slash"),
        pytest.param("2001:db8::1::/64", "not a CIDR", id="two elisions"),
        pytest.param("fe80::%eth0/64", "not a CIDR", id="a CIDR with a zone"),
        pytest.param("::ffff:192.0.2.0/120", "not a CIDR", id="a CIDR of IPv4 written as IPv6"),
        pytest.param("192.0.2.10/24", "host bits set; ", id="an IPv4 CIDR with host bits"),
        pytest.param("192.0.2.10/24", "192.0.2.10/32 for one address", id="an IPv4 CIDR that may mean one address"),
        pytest.param("2001:db8::1/64", "2001:db8::1/128 for one address", id="an IPv6 CIDR that may mean one address"),
        pytest.param("192.0.2.20-192.0.2.10", "starts after its end", id="an IPv4 range with its ends swapped"),
        pytest.param("2001:db8::20-2001:db8::10", "starts after its end", id="an IPv6 range with its ends swapped"),
        pytest.param("192.0.2.10-192.0.2.9", "starts after its end", id="an IPv4 range in order as text only"),
        pytest.param("2001:db8::10-2001:db8::9", "starts after its end", id="an IPv6 range in order as text only"),
        pytest.param("128.0.0.0-0.0.0.1", "starts after its end", id="an IPv4 range swapped in the first bit"),
        pytest.param("8000::-::1", "starts after its end", id="an IPv6 range swapped in the first bit"),
        pytest.param("192.0.2.1-192.0.2.0", "starts after its end", id="an IPv4 range swapped in the last bit"),
        pytest.param("2001:db8::1-2001:db8::", "starts after its end", id="an IPv6 range swapped in the last bit"),
        pytest.param("192.0.2.1-2001:db8::1", "mixes IPv4 and IPv6", id="a range from IPv4 to IPv6"),
        pytest.param("2001:db8::1-192.0.2.1", "mixes IPv4 and IPv6", id="a range from IPv6 to IPv4"),
        pytest.param("192.0.2.1-", "not a range of two addresses", id="a range without an end"),
        pytest.param("-2001:db8::1", "not a range of two addresses", id="a range without a start"),
        pytest.param("192.0.2.1-9", "not a range of two addresses", id="a range that gives the last number only"),
        pytest.param("192.0.2.1-192.0.2.5-192.0.2.9", "not a range of two addresses", id="a range of three"),
        pytest.param("192.0.2.0/25-192.0.2.128/25", "not a range of two addresses", id="a range of CIDRs"),
        pytest.param("fe80::1%eth0-fe80::2%eth0", "not a range of two addresses", id="a range with zones"),
        pytest.param("::ffff:192.0.2.1-::ffff:192.0.2.9", "not a range of two", id="a range of IPv4 written as IPv6"),
        pytest.param("192.0.2.1" + 90 * " " + "-192.0.2.2", "96", id="an entry that is too long"),
    ],
)
def test_both_refuse_a_pool_with(ask: Ask, entry: str, words: str) -> None:
    spec = {"addresses": [entry]}
    assert words in (ask(IPAddressPool, spec) or "the API server takes it")
    assert our_refusal(IPAddressPool, spec)


def test_both_agree_on_the_order_of_any_two_addresses(ask: Ask) -> None:
    random = Random(3)
    ranges = [some_range(random) for _ in range(RANDOM_RANGES)]
    answer = ask(IPAddressPool, {"addresses": ranges}) or ""
    theirs = {int(number) for number in re.findall(r"spec\.addresses\[(\d+)\]: .*?starts after its end", answer)}
    ours = {number for number, text in enumerate(ranges) if our_refusal(IPAddressPool, {"addresses": [text]})}
    assert theirs == ours
    assert RANDOM_RANGES // 4 < len(ours) < RANDOM_RANGES * 3 // 4


def some_range(random: Random) -> str:
    """Two addresses of one family that share any number of leading bits."""
    kind, bits = random.choice([(IPv4Address, 32), (IPv6Address, 128)])
    first = random.getrandbits(bits)
    return f"{kind(first)}-{kind(first ^ random.getrandbits(random.randint(1, bits)))}"


SELECTOR = {"matchLabels": {"rack": "a"}}


def pool(**fields: Any) -> dict[str, Any]:
    """The spec of a pool, valid but for the fields."""
    return {"addresses": ["192.0.2.0/24"], **fields}


def rules(**fields: Any) -> dict[str, Any]:
    """The spec of a pool for some."""
    return pool(serviceAllocation=fields)


def claim(*addresses: str, **fields: Any) -> dict[str, Any]:
    """The spec of a claim, of an address of each family if none is named."""
    return {"addresses": list(addresses or ("192.0.2.10", "2001:db8::10")), **fields}


def selectors(count: int) -> list[dict[str, Any]]:
    return [{"matchLabels": {"rack": f"r{n}"}} for n in range(count)]


def prefer(weight: int) -> dict[str, Any]:
    return {"weight": weight, "preference": SELECTOR}


def expression(**changes: Any) -> dict[str, Any]:
    """A selector with one expression, valid but for the changes."""
    whole = {"key": "rack", "operator": "In", "values": ["a"]} | changes
    return {"matchExpressions": [{name: value for name, value in whole.items() if value is not None}]}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param(IPAddressPool, {"addresses": ["192.0.2.0/24", "2001:db8::/64"]}, id="a pool of both families"),
        pytest.param(
            IPAddressPool,
            {"addresses": [f"2001:db8::{n:x}-2001:db8::{n:x}" for n in range(ENTRIES_MAX)]},
            id="a pool with as many ranges as a pool may have",
        ),
        pytest.param(IPAddressPool, {"addresses": ["192.0.2.0/24", "192.0.2.7/32"]}, id="a pool that overlaps itself"),
        pytest.param(
            IPAddressPool,
            {
                "addresses": [f"2001:db8::{n:x}-2001:db8::{n:x}" for n in range(ENTRIES_MAX)],
                "excludedAddresses": [f"2001:db8:ffff:ffff:ffff:ffff:0:{n:x}/128" for n in range(ENTRIES_MAX)],
            },
            id="a pool that excludes as many entries as it may",
        ),
        pytest.param(
            IPAddressPool,
            {
                "addresses": ["192.0.2.0/24", "2001:db8::/64"],
                "excludedAddresses": ["192.0.2.1/32", "192.0.2.10-192.0.2.20", "2001:db8::/128"],
                "autoAssign": False,
                "avoidBuggyIPs": True,
                "avoidNetworkAndBroadcast": True,
                "allocation": "Sticky",
                "reclaimPolicy": "Reassign",
                "conflictPolicy": "Quarantine",
                "loadBalancerClasses": ["example.com/fast", "slow", "baremetal-lb.io/load-balancer"],
                "serviceAllocation": {
                    "priority": 10,
                    "namespaces": ["web", "0-9"],
                    "namespaceSelectors": [SELECTOR],
                    "serviceSelectors": [SELECTOR],
                    "exclusive": True,
                    "namespaceQuota": 0,
                },
            },
            id="a pool with every field",
        ),
        pytest.param(IPAddressPool, rules(), id="a pool with empty rules"),
        pytest.param(IPAddressPool, rules(exclusive=True, namespaces=["web"]), id="exclusive by namespace"),
        pytest.param(IPAddressPool, rules(exclusive=True, namespaceSelectors=[{}]), id="exclusive by namespace label"),
        pytest.param(IPAddressPool, rules(exclusive=True, serviceSelectors=[{}]), id="exclusive by Service label"),
        pytest.param(
            IPAddressPool,
            rules(
                namespaces=[f"n{n}" for n in range(NAMESPACES_MAX)],
                namespaceSelectors=selectors(SELECTORS_MAX),
                serviceSelectors=selectors(SELECTORS_MAX),
            ),
            id="a pool with as many rules as it may have",
        ),
        pytest.param(IPAddressClaim, claim(), id="a claim of both families for no Service"),
        pytest.param(
            IPAddressClaim,
            claim(service={"namespace": "web", "name": "shop"}, description="ö" * DESCRIPTION_LENGTH_MAX),
            id="a claim with every field",
        ),
        pytest.param(
            IPAddressClaim, claim("2001:DB8:0:0::1", "2001:db8::1"), id="a claim of an address in two spellings"
        ),
        pytest.param(
            IPAddressClaim,
            claim(*(f"2001:db8:1111:2222:3333:4444:192.0.2.{200 + n}" for n in range(ADDRESSES_MAX))),
            id="a claim of as many addresses as it may have",
        ),
        pytest.param(L2Advertisement, {}, id="an advertisement of everything"),
        pytest.param(
            L2Advertisement,
            {
                "ipAddressPools": ["a"],
                "ipAddressPoolSelectors": [SELECTOR],
                "nodeSelectors": [SELECTOR],
                "serviceSelectors": [SELECTOR],
                "interfaces": ["e0"],
            },
            id="an advertisement with every field",
        ),
        pytest.param(L2Advertisement, {"interfaces": ["bond0.100", "lan@home", "x" * 15]}, id="unusual interfaces"),
        pytest.param(L2Advertisement, {"nodeSelectors": [{}]}, id="an empty selector"),
        pytest.param(
            L2Advertisement,
            {
                "preferredNodeSelectors": [prefer(1), prefer(100), {"weight": 1, "preference": {}}],
                "segment": "OnLink",
                "cordonedNodes": "Leave",
                "answerPing": True,
                "preemption": "Never",
                "preemptionDelaySeconds": 0,
            },
            id="preferred nodes",
        ),
        pytest.param(L2Advertisement, {"nodeSelectors": [SELECTOR, expression()]}, id="two ways to say the same"),
        pytest.param(L2Advertisement, {"nodeSelectors": [expression(operator="NotIn")]}, id="NotIn with values"),
        pytest.param(L2Advertisement, {"nodeSelectors": [expression(values=[""])]}, id="In with the empty value"),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(operator="Exists", values=None)]}, id="Exists without values"
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [expression(operator="DoesNotExist", values=[])]},
            id="DoesNotExist with an empty list of values",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchLabels": {"topology.kubernetes.io/zone": "", "A_b.c": "D_e.f"}}]},
            id="unusual labels",
        ),
    ],
)
def test_both_take(ask: Ask, kind: type[CustomResource], spec: dict[str, Any]) -> None:
    assert ask(kind, spec) is None
    assert our_refusal(kind, spec) is None


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        pytest.param(IPAddressPool, {}, "Required", id="a pool without addresses"),
        pytest.param(IPAddressPool, {"addresses": []}, "at least 1", id="a pool with an empty list"),
        pytest.param(IPAddressPool, {"addresses": [24]}, "string", id="a pool with a number for an entry"),
        pytest.param(
            IPAddressPool, {"addresses": ["192.0.2.0/24", "192.0.2.0/24"]}, "Duplicate", id="a pool with an entry twice"
        ),
        pytest.param(
            IPAddressPool,
            {"addresses": [f"2001:db8::{n:x}/128" for n in range(ENTRIES_MAX + 1)]},
            "at most 1000",
            id="a pool with too many entries",
        ),
        pytest.param(
            IPAddressPool,
            {"addresses": ["192.0.2.0/24"], "autoAssign": "perhaps"},
            "boolean",
            id="a word for autoAssign",
        ),
        pytest.param(
            IPAddressPool,
            pool(excludedAddresses=["192.0.2.1"]),
            "single address; write 192.0.2.1/32",
            id="a bare address that is excluded",
        ),
        pytest.param(
            IPAddressPool,
            pool(excludedAddresses=["2001:db8::9-2001:db8::1"]),
            "starts after its end",
            id="a swapped range that is excluded",
        ),
        pytest.param(
            IPAddressPool, pool(excludedAddresses=["192.0.2.1/32"] * 2), "Duplicate", id="an excluded entry twice"
        ),
        pytest.param(
            IPAddressPool,
            pool(excludedAddresses=[f"2001:db8::{n:x}/128" for n in range(ENTRIES_MAX + 1)]),
            f"at most {ENTRIES_MAX}",
            id="too many excluded entries",
        ),
        pytest.param(IPAddressPool, pool(avoidNetworkAndBroadcast="perhaps"), "boolean", id="a word for a choice"),
        pytest.param(IPAddressPool, pool(allocation="Best"), "supported", id="no such allocation"),
        pytest.param(IPAddressPool, pool(reclaimPolicy="Delete"), "supported", id="no such reclaimPolicy"),
        pytest.param(IPAddressPool, pool(conflictPolicy="Fight"), "supported", id="no such conflictPolicy"),
        pytest.param(IPAddressPool, pool(loadBalancerClasses=["a b"]), "should match", id="a class that is none"),
        pytest.param(IPAddressPool, pool(loadBalancerClasses=["a", "a"]), "Duplicate", id="a class twice"),
        pytest.param(
            IPAddressPool,
            pool(loadBalancerClasses=[f"c{n}" for n in range(CLASSES_MAX + 1)]),
            f"at most {CLASSES_MAX}",
            id="too many classes",
        ),
        pytest.param(IPAddressPool, rules(priority=-1), "greater than or equal to 0", id="a priority below 0"),
        pytest.param(IPAddressPool, rules(namespaceQuota=-1), "greater than or equal to 0", id="a quota below 0"),
        pytest.param(IPAddressPool, rules(namespaces=["Web"]), "should match", id="a namespace that cannot be"),
        pytest.param(IPAddressPool, rules(namespaces=["n" * 64]), "63", id="a namespace that is too long"),
        pytest.param(IPAddressPool, rules(namespaces=["web"] * 2), "Duplicate", id="a namespace twice"),
        pytest.param(
            IPAddressPool,
            rules(namespaces=[f"n{n}" for n in range(NAMESPACES_MAX + 1)]),
            f"at most {NAMESPACES_MAX}",
            id="too many namespaces",
        ),
        pytest.param(IPAddressPool, rules(namespaceSelectors=[SELECTOR] * 2), "twice", id="a namespace selector twice"),
        pytest.param(IPAddressPool, rules(serviceSelectors=[SELECTOR] * 2), "twice", id="a Service selector twice"),
        pytest.param(
            IPAddressPool,
            rules(namespaceSelectors=selectors(SELECTORS_MAX + 1)),
            f"at most {SELECTORS_MAX}",
            id="too many namespace selectors",
        ),
        pytest.param(
            IPAddressPool,
            rules(serviceSelectors=selectors(SELECTORS_MAX + 1)),
            f"at most {SELECTORS_MAX}",
            id="too many Service selectors",
        ),
        pytest.param(
            IPAddressPool,
            rules(serviceSelectors=[expression(values=None)]),
            "In and NotIn need",
            id="a Service selector with a fault",
        ),
        pytest.param(
            IPAddressPool, rules(exclusive=True), "must say for whom it is", id="an exclusive pool without rules"
        ),
        pytest.param(
            IPAddressPool,
            rules(exclusive=True, namespaces=[], namespaceSelectors=[], serviceSelectors=[], priority=1),
            "must say for whom it is",
            id="an exclusive pool with empty rules",
        ),
        pytest.param(IPAddressClaim, {}, "Required", id="a claim without addresses"),
        pytest.param(IPAddressClaim, {"addresses": []}, "at least 1", id="a claim with an empty list"),
        pytest.param(IPAddressClaim, {"addresses": [7]}, "string", id="a claim with a number for an address"),
        pytest.param(IPAddressClaim, claim("192.0.2.10", "192.0.2.10"), "Duplicate", id="a claim of one address twice"),
        pytest.param(
            IPAddressClaim,
            claim(*(f"192.0.2.{n}" for n in range(ADDRESSES_MAX + 1))),
            f"at most {ADDRESSES_MAX}",
            id="a claim of too many addresses",
        ),
        pytest.param(IPAddressClaim, claim("192.0.2.10/32"), "without a prefix length", id="a claim of an IPv4 CIDR"),
        pytest.param(IPAddressClaim, claim("2001:db8::/64"), "without a prefix length", id="a claim of an IPv6 CIDR"),
        pytest.param(IPAddressClaim, claim("192.0.2.1-192.0.2.2"), "each address by itself", id="a claim of a range"),
        pytest.param(IPAddressClaim, claim("shop"), "is not an IP address", id="a claim of a word"),
        pytest.param(IPAddressClaim, claim(""), "is not an IP address", id="a claim of nothing"),
        pytest.param(IPAddressClaim, claim(" 192.0.2.10"), "without blanks", id="a claim with a blank"),
        pytest.param(IPAddressClaim, claim("192.0.2.010"), "is not an IP address", id="a claim with a leading zero"),
        pytest.param(IPAddressClaim, claim("fe80::1%eth0"), "without blanks and zones", id="a claim with a zone"),
        pytest.param(IPAddressClaim, claim("::ffff:192.0.2.1"), "is not an IP address", id="a claim of IPv4 as IPv6"),
        pytest.param(IPAddressClaim, claim("1" * 46), "45", id="a claim of a text that is too long"),
        pytest.param(IPAddressClaim, claim(service={"name": "shop"}), "Required", id="a Service without a namespace"),
        pytest.param(IPAddressClaim, claim(service={"namespace": "web"}), "Required", id="a Service without a name"),
        pytest.param(
            IPAddressClaim,
            claim(service={"namespace": "web", "name": "a.b"}),
            "should match",
            id="a Service with a name that cannot be",
        ),
        pytest.param(
            IPAddressClaim,
            claim(service={"namespace": "we b", "name": "shop"}),
            "should match",
            id="a Service in a namespace that cannot be",
        ),
        pytest.param(
            IPAddressClaim,
            claim(description="x" * (DESCRIPTION_LENGTH_MAX + 1)),
            f"{DESCRIPTION_LENGTH_MAX}",
            id="a description that is too long",
        ),
        pytest.param(L2Advertisement, {"ipAddressPools": ["a", "a"]}, "Duplicate", id="a pool twice"),
        pytest.param(L2Advertisement, {"ipAddressPools": [""]}, "at least 1", id="a pool without a name"),
        pytest.param(
            L2Advertisement,
            {"ipAddressPools": [f"p{n}" for n in range(POOLS_MAX + 1)]},
            f"at most {POOLS_MAX}",
            id="too many pools",
        ),
        pytest.param(L2Advertisement, {"ipAddressPoolSelectors": [SELECTOR] * 2}, "twice", id="a pool selector twice"),
        pytest.param(L2Advertisement, {"nodeSelectors": [SELECTOR] * 2}, "twice", id="a node selector twice"),
        pytest.param(L2Advertisement, {"serviceSelectors": [SELECTOR] * 2}, "twice", id="a selector of Services twice"),
        pytest.param(L2Advertisement, {"preferredNodeSelectors": [prefer(7)] * 2}, "twice", id="a preference twice"),
        pytest.param(
            L2Advertisement, {"preferredNodeSelectors": [prefer(0)]}, "greater than or equal to 1", id="weight 0"
        ),
        pytest.param(
            L2Advertisement, {"preferredNodeSelectors": [prefer(101)]}, "less than or equal to 100", id="weight 101"
        ),
        pytest.param(
            L2Advertisement, {"preferredNodeSelectors": [{"weight": 1}]}, "Required", id="a weight of no node"
        ),
        pytest.param(L2Advertisement, {"preemption": "Always"}, "supported", id="no such preemption"),
        pytest.param(L2Advertisement, {"segment": "Near"}, "supported", id="no such segment"),
        pytest.param(L2Advertisement, {"cordonedNodes": "Exclude"}, "supported", id="no such word for cordoned nodes"),
        pytest.param(
            L2Advertisement, {"preemptionDelaySeconds": -1}, "greater than or equal to 0", id="a delay below 0"
        ),
        pytest.param(L2Advertisement, {"interfaces": ["eth0", "eth0"]}, "Duplicate", id="an interface twice"),
        pytest.param(
            L2Advertisement,
            {"interfaces": [f"e{n}" for n in range(INTERFACES_MAX + 1)]},
            f"at most {INTERFACES_MAX}",
            id="too many interfaces",
        ),
        pytest.param(
            L2Advertisement, {"interfaces": ["x" * 16]}, "should match", id="an interface name that is too long"
        ),
        pytest.param(L2Advertisement, {"interfaces": ["eth0:1"]}, "should match", id="an alias of an interface"),
        pytest.param(L2Advertisement, {"interfaces": ["eth 0"]}, "should match", id="an interface name with a blank"),
        pytest.param(L2Advertisement, {"interfaces": ["a/b"]}, "should match", id="an interface name with a slash"),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(values=None)]}, "In and NotIn need", id="In without"
        ),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(values=[])]}, "In and NotIn need", id="In with none"
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [expression(operator="NotIn", values=None)]},
            "In and NotIn need",
            id="NotIn without values",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [expression(operator="Exists")]},
            "Exists and DoesNotExist must have none",
            id="Exists with values",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [expression(operator="DoesNotExist")]},
            "Exists and DoesNotExist must have none",
            id="DoesNotExist with values",
        ),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(operator="Gt")]}, "supported", id="no such operator"
        ),
        pytest.param(L2Advertisement, {"nodeSelectors": [expression(key=None)]}, "Required", id="no key"),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(key="a b")]}, "should match", id="a key that is none"
        ),
        pytest.param(
            L2Advertisement, {"nodeSelectors": [expression(values=["a", "a"])]}, "Duplicate", id="a value twice"
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchExpressions": expression()["matchExpressions"] * 2}]},
            "twice",
            id="an expression twice",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchLabels": {"a b": "c"}}]},
            "not a label name",
            id="a label name that is none",
        ),
        pytest.param(
            L2Advertisement,
            {"nodeSelectors": [{"matchLabels": {"a": "b c"}}]},
            "should match",
            id="a value that is none",
        ),
    ],
)
def test_both_refuse(ask: Ask, kind: type[CustomResource], spec: dict[str, Any], words: str) -> None:
    assert words in (ask(kind, spec) or "the API server takes it")
    assert our_refusal(kind, spec)


def test_what_is_left_out_gets_its_default(bare_lab: Lab, ask: Ask) -> None:
    assert ask(IPAddressPool, {"addresses": ["192.0.2.0/24"]}) is None
    body = {"apiVersion": "baremetal-lb.io/v1", "kind": "IPAddressPool", **raw({"addresses": ["192.0.2.0/24"]})}
    stored = bare_lab.request("POST", "/apis/baremetal-lb.io/v1/ipaddresspools?dryRun=All", body)
    assert stored["spec"] == {
        "addresses": ["192.0.2.0/24"],
        "autoAssign": True,
        "avoidBuggyIPs": False,
        "avoidNetworkAndBroadcast": False,
        "allocation": "Sequential",
        "reclaimPolicy": "Retain",
        "conflictPolicy": "Defend",
    }


def test_a_speaker_status_of_the_greatest_size_fits(bare_lab: Lab, ask: Ask) -> None:
    """Also with what the API server adds to it."""
    assert ask(L2Advertisement, {}) is None
    collection = "/apis/baremetal-lb.io/v1/speakerstatuses"
    body = {"apiVersion": "baremetal-lb.io/v1", "kind": "SpeakerStatus", "metadata": {"name": "greatest"}}
    held = {
        "term": 1_000_000,
        "since": "2026-01-01T00:00:00Z",
        "interfaces": [f"interface-{one:05}" for one in range(4)],
    }
    addresses = [
        {"address": f"2001:db8:1111:2222:3333:4444:5555:{one:x}", **held} for one in range(4096, 4096 + HELD_MAX)
    ]
    networks = [f"2001:db8:1111:2222:3333:4444:5555:{one:x}/128" for one in range(4096, 4096 + NETWORKS_MAX)]
    offered = {"mac": "02:00:00:00:00:01", "onlyByName": False, "networks": networks}
    interfaces = [{"name": f"interface-{one:05}", **offered} for one in range(OFFERED_MAX)]
    conflicts = [
        {
            "address": f"2001:db8:1111:2222:3333:4444:5555:{one:x}",
            "mac": "02:00:00:00:00:01",
            "interface": f"interface-{one:05}",
            "since": "2026-01-01T00:00:00Z",
        }
        for one in range(4096, 4096 + CONFLICTS_MAX)
    ]
    status = {
        "addresses": addresses,
        "addressCount": HELD_MAX,
        "interfaces": interfaces,
        "interfaceNames": ",".join(str(one["name"]) for one in interfaces),
        "proxyAnswers": False,
        "conflicts": conflicts,
        "conflictCount": CONFLICTS_MAX,
    }
    bare_lab.request("POST", collection, body)
    try:
        path = f"{collection}/greatest/status"
        bare_lab.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
        assert bare_lab.get_json(f"{collection}/greatest")["status"] == status
    finally:
        bare_lab.request("DELETE", f"{collection}/greatest")
