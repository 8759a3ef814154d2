"""Resources in the shapes that MetalLB documents, and what becomes of them."""

from typing import Any

import pytest
import yaml

from baremetal_lb.migration.metallb import Migration, migrate
from baremetal_lb.migration.notes import Severity

Raw = dict[str, Any]

EAST, WEST = "192.0.2.0/25", "2001:db8:7::/120"


def resource(kind: str, name: str, spec: Raw | None = None, version: str = "v1beta1", **metadata: Any) -> Raw:
    return {
        "apiVersion": f"metallb.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": "metallb-system", **metadata},
        "spec": spec,
    }


def pool(name: str, *addresses: str, labels: Raw | None = None, **spec: Any) -> Raw:
    return resource("IPAddressPool", name, {"addresses": list(addresses), **spec}, labels=labels)


def old_pool(name: str, protocol: str, *addresses: str, version: str = "v1beta1", **spec: Any) -> Raw:
    return resource("AddressPool", name, {"protocol": protocol, "addresses": list(addresses), **spec}, version)


def announcement(**spec: Any) -> Raw:
    return resource("L2Advertisement", "lan", spec)


def config_map(text: str) -> Raw:
    metadata = {"name": "config", "namespace": "metallb-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config": text}}


def specs(migration: Migration, kind: str) -> dict[str, Raw]:
    return {one["metadata"]["name"]: one["spec"] for one in migration.manifests if one["kind"] == kind}


def said(migration: Migration, severity: Severity | None = None) -> str:
    return "\n".join(f"{one.subject}: {one.text}" for one in migration.notes if severity in {None, one.severity})


class TestPools:
    def test_a_simple_pool_and_its_announcement(self) -> None:
        migration = migrate([pool("east", EAST, WEST), announcement(ipAddressPools=["east"])])
        assert specs(migration, "IPAddressPool") == {"east": {"addresses": [EAST, WEST]}}
        assert specs(migration, "L2Advertisement") == {"lan": {"ipAddressPools": ["east"]}}
        assert migration.notes == ()

    def test_ours_have_no_namespace_and_keep_their_labels(self) -> None:
        migration = migrate([pool("east", EAST, labels={"zone": "a"}), announcement()])
        assert migration.manifests[0]["metadata"] == {"name": "east", "labels": {"zone": "a"}}
        assert {one["apiVersion"] for one in migration.manifests} == {"baremetal-lb.io/v1"}

    def test_fields_of_the_same_meaning_are_copied(self) -> None:
        allocation = {
            "priority": 20,
            "namespaces": ["shop"],
            "namespaceSelectors": [{"matchLabels": {"team": "a"}}],
            "serviceSelectors": [{"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}],
        }
        migration = migrate(
            [pool("east", EAST, autoAssign=False, avoidBuggyIPs=True, serviceAllocation=allocation), announcement()]
        )
        assert specs(migration, "IPAddressPool")["east"] == {
            "addresses": [EAST],
            "autoAssign": False,
            "avoidBuggyIPs": True,
            "serviceAllocation": allocation,
        }
        assert migration.notes == ()

    def test_nulls_are_no_values(self) -> None:
        migration = migrate([pool("east", EAST, autoAssign=None, serviceAllocation=None), announcement()])
        assert specs(migration, "IPAddressPool") == {"east": {"addresses": [EAST]}}

    @pytest.mark.parametrize("priority", [-1, -20])
    def test_a_negative_priority_has_no_place(self, priority: int) -> None:
        migration = migrate([pool("east", EAST, serviceAllocation={"priority": priority}), announcement()])
        assert specs(migration, "IPAddressPool")["east"]["serviceAllocation"] == {"priority": 0}
        assert str(priority) in said(migration, Severity.WARNING)

    def test_the_class_of_metallb_becomes_that_of_the_pools(self) -> None:
        migration = migrate([pool("east", EAST), announcement()], "example.com/lb")
        assert specs(migration, "IPAddressPool")["east"]["loadBalancerClasses"] == ["example.com/lb"]

    def test_a_pool_without_a_usable_entry_is_left_out(self) -> None:
        migration = migrate([pool("east", "192.0.2.1-2001:db8::1"), announcement()])
        assert specs(migration, "IPAddressPool") == {}
        assert "IPAddressPool metallb-system/east: not converted" in said(migration, Severity.ERROR)

    def test_a_good_entry_survives_a_bad_one(self) -> None:
        migration = migrate([pool("east", "192.0.2.1", EAST), announcement()])
        assert specs(migration, "IPAddressPool")["east"]["addresses"] == [EAST]
        assert "192.0.2.1" in said(migration, Severity.ERROR)

    def test_a_field_that_nobody_knew_yet_is_named(self) -> None:
        migration = migrate([pool("east", EAST, colour="red", serviceAllocation={"weight": 1}), announcement()])
        assert "spec.colour" in said(migration, Severity.ERROR)
        assert "spec.serviceAllocation.weight" in said(migration, Severity.ERROR)

    def test_pools_that_overlap_are_named(self) -> None:
        migration = migrate([pool("east", EAST), pool("west", "192.0.2.0/26"), announcement()])
        assert "IPAddressPool west" in said(migration, Severity.ERROR)

    def test_namesakes_of_two_namespaces_get_two_names(self) -> None:
        other = resource("IPAddressPool", "east", {"addresses": [WEST]}, namespace="other")
        migration = migrate([pool("east", EAST), other])
        assert set(specs(migration, "IPAddressPool")) == {"east", "east-other"}
        assert "it is called east-other" in said(migration, Severity.WARNING)

    def test_a_pool_whose_selectors_match_no_namespace_is_named(self) -> None:
        """MetalLB opens such a pool to everyone who asks for it."""
        nobody = {"namespaceSelectors": [{"matchLabels": {"team": "gone"}}]}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        migration = migrate([pool("east", EAST, serviceAllocation=nobody), announcement(), namespace])
        assert "serves nobody" in said(migration, Severity.WARNING)


class TestAnnouncements:
    def test_fields_of_the_same_meaning_are_copied(self) -> None:
        spec = {
            "ipAddressPools": ["east"],
            "ipAddressPoolSelectors": [{"matchLabels": {"zone": "a"}}],
            "nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "node1"}}],
            "interfaces": ["eth0"],
        }
        migration = migrate([pool("east", EAST), pool("west", WEST, labels={"zone": "a"}), announcement(**spec)])
        assert specs(migration, "L2Advertisement") == {"lan": spec}
        assert migration.notes == ()

    def test_one_without_a_pool_announces_all(self) -> None:
        assert specs(migrate([pool("east", EAST), announcement()]), "L2Advertisement") == {"lan": {}}

    def test_a_pool_that_none_selects_stays_unannounced(self) -> None:
        migration = migrate([pool("east", EAST), pool("west", WEST), announcement(ipAddressPools=["east"])])
        assert "west: no L2Advertisement selects it" in said(migration, Severity.WARNING)
        assert "east" not in said(migration)

    @pytest.mark.parametrize(
        "silent",
        [
            pytest.param(old_pool("quiet", "bgp", WEST), id="an AddressPool of BGP"),
            pytest.param(
                resource("IPAddressPool", "quiet", {"addresses": [WEST]}, namespace="other"),
                id="an IPAddressPool of another namespace",
            ),
        ],
    )
    @pytest.mark.parametrize(
        "spec", [{}, {"ipAddressPoolSelectors": [{"matchExpressions": [{"key": "no", "operator": "DoesNotExist"}]}]}]
    )
    def test_all_pools_are_named_where_all_would_be_more(self, silent: Raw, spec: Raw) -> None:
        migration = migrate([pool("east", EAST), silent, announcement(**spec)])
        assert specs(migration, "L2Advertisement") == {"lan": {"ipAddressPools": ["east"]}}
        assert "quiet: no L2Advertisement selects it" in said(migration, Severity.WARNING)

    def test_one_for_nothing_does_not_become_one_for_all(self) -> None:
        migration = migrate([old_pool("quiet", "bgp", WEST), announcement()])
        assert specs(migration, "L2Advertisement") == {}

    def test_a_name_of_no_pool_stays_written(self) -> None:
        """Without it, the list would be empty and mean all pools."""
        migration = migrate([pool("east", EAST), announcement(ipAddressPools=["gone"])])
        assert specs(migration, "L2Advertisement") == {"lan": {"ipAddressPools": ["gone"]}}
        assert "there is no pool gone" in said(migration, Severity.WARNING)

    def test_a_field_that_nobody_knew_yet_is_said(self) -> None:
        migration = migrate([pool("east", EAST), announcement(colour=[{"matchLabels": {"a": "b"}}])])
        assert specs(migration, "L2Advertisement") == {"lan": {}}
        assert "unknown" in said(migration, Severity.ERROR)

    def test_preferred_nodes_stay(self) -> None:
        preferred = [{"weight": 7, "preference": {"matchLabels": {"rack": "r1"}}}]
        migration = migrate([pool("east", EAST), announcement(preferredNodeSelectors=preferred)])
        assert specs(migration, "L2Advertisement") == {"lan": {"preferredNodeSelectors": preferred}}
        assert migration.notes == ()

    def test_selectors_of_services_stay(self) -> None:
        selectors = [{"matchLabels": {"app": "web"}}]
        migration = migrate([pool("east", EAST), announcement(serviceSelectors=selectors)])
        assert specs(migration, "L2Advertisement") == {"lan": {"serviceSelectors": selectors}}

    def test_one_that_is_invalid_here_is_left_out(self) -> None:
        migration = migrate([pool("east", EAST), announcement(interfaces=["a name that is too long"])])
        assert specs(migration, "L2Advertisement") == {}
        assert "L2Advertisement metallb-system/lan: not converted" in said(migration, Severity.ERROR)


@pytest.mark.parametrize("kind", ["BGPAdvertisement", "BGPPeer", "BFDProfile", "Community"])
@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_each_resource_of_bgp_is_named(kind: str, version: str) -> None:
    migration = migrate([resource(kind, "uplink", {}, version)])
    assert migration.manifests == ()
    assert f"{kind} metallb-system/uplink: BGP is not supported yet" in said(migration, Severity.ERROR)


class TestAddressPools:
    @pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
    def test_one_of_layer2_announces_itself(self, version: str) -> None:
        migration = migrate([old_pool("old", "layer2", EAST, version=version, autoAssign=False)])
        assert specs(migration, "IPAddressPool") == {"old": {"addresses": [EAST], "autoAssign": False}}
        assert specs(migration, "L2Advertisement") == {"old": {"ipAddressPools": ["old"]}}
        assert migration.notes == ()

    def test_the_advertisements_in_one_of_bgp_are_named(self) -> None:
        migration = migrate([old_pool("old", "bgp", EAST, bgpAdvertisements=[{"localPref": 100}])])
        assert "spec.bgpAdvertisements" in said(migration, Severity.ERROR)
        assert specs(migration, "L2Advertisement") == {}

    def test_one_that_was_replaced_is_left_out(self) -> None:
        migration = migrate([old_pool("east", "layer2", EAST), pool("east", EAST), announcement()])
        assert specs(migration, "IPAddressPool") == {"east": {"addresses": [EAST]}}
        assert specs(migration, "L2Advertisement") == {"lan": {}}
        assert {note.severity for note in migration.notes} == {Severity.INFO}


class TestConfigMap:
    TEXT = """
    peers:
    - {my-asn: 64501, peer-asn: 64500, peer-address: 192.0.2.254}
    bgp-communities: {no-advertise: "65535:65282"}
    address-pools:
    - name: floor
      protocol: layer2
      addresses: ["192.0.2.0/25", "2001:db8:7::1 - 2001:db8:7::9"]
      avoid-buggy-ips: true
    - name: Upper_Floor
      protocol: bgp
      auto-assign: false
      addresses: [198.51.100.0/24]
      bgp-advertisements: [{aggregation-length: 32}]
    """

    def test_its_pools_are_converted(self) -> None:
        migration = migrate([config_map(self.TEXT)])
        assert specs(migration, "IPAddressPool") == {
            "floor": {"addresses": ["192.0.2.0/25", "2001:db8:7::1-2001:db8:7::9"], "avoidBuggyIPs": True},
            "upper-floor": {"addresses": ["198.51.100.0/24"], "autoAssign": False},
        }
        assert specs(migration, "L2Advertisement") == {"floor": {"ipAddressPools": ["floor"]}}

    def test_what_it_says_of_bgp_is_named(self) -> None:
        errors = said(migrate([config_map(self.TEXT)]), Severity.ERROR)
        for words in ("BGPPeer metallb-system/192.0.2.254", "Community metallb-system/no-advertise", "Upper_Floor"):
            assert words in errors

    def test_a_name_that_no_resource_can_have_is_changed_and_told(self) -> None:
        warnings = said(migrate([config_map(self.TEXT)]), Severity.WARNING)
        assert "called upper-floor here; change the Services that ask for it" in warnings

    def test_it_is_left_out_where_there_are_resources(self) -> None:
        migration = migrate([config_map(self.TEXT), pool("east", EAST), announcement()])
        assert set(specs(migration, "IPAddressPool")) == {"east"}
        assert "ConfigMap metallb-system/config: is left out" in said(migration, Severity.INFO)

    @pytest.mark.parametrize(
        ("text", "severity"),
        [
            pytest.param("[broken", Severity.ERROR, id="no YAML"),
            pytest.param("mode: ipvs", Severity.INFO, id="another program's"),
            pytest.param("words", Severity.INFO, id="words"),
        ],
    )
    def test_one_that_is_none_is_told(self, text: str, severity: Severity) -> None:
        migration = migrate([config_map(text)])
        assert migration.manifests == ()
        assert "ConfigMap metallb-system/config" in said(migration, severity)

    def test_a_key_that_is_unknown_is_named(self) -> None:
        text = yaml.safe_dump({"address-pools": [{"name": "a", "addresses": [EAST], "colour": 1}], "shape": 2})
        errors = said(migrate([config_map(text)]), Severity.ERROR)
        assert "address-pools: colour is unknown" in errors
        assert "shape is unknown" in errors


class TestDocuments:
    @pytest.mark.parametrize("kind", ["List", "IPAddressPoolList"])
    def test_lists_are_opened(self, kind: str) -> None:
        both = [pool("east", EAST), pool("west", WEST)]
        migration = migrate([{"apiVersion": "metallb.io/v1beta1", "kind": kind, "items": both}])
        assert set(specs(migration, "IPAddressPool")) == {"east", "west"}

    @pytest.mark.parametrize("document", ["words", 7, [], {}, {"kind": "IPAddressPool"}, {"metadata": {"name": ""}}])
    def test_what_is_no_object_is_told(self, document: object) -> None:
        assert "document 1" in said(migrate([document]), Severity.ERROR)

    def test_what_is_not_metallbs_is_passed_over(self) -> None:
        others = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "controller"}}
        states = resource("ServiceL2Status", "l2-x7k2p")
        assert migrate([None, others, states]) == Migration((), ())

    def test_a_kind_that_nobody_knew_yet_is_named(self) -> None:
        assert "Beacon metallb-system/x" in said(migrate([resource("Beacon", "x")]), Severity.ERROR)

    def test_a_service_that_cannot_be_read_is_told(self) -> None:
        broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{}]}}
        assert "Service web" in said(migrate([broken]), Severity.ERROR)

    def test_the_gravest_note_comes_first(self) -> None:
        migration = migrate([old_pool("x", "layer2", EAST), pool("x", EAST), resource("BGPPeer", "up")])
        order = [note.severity for note in migration.notes]
        assert order == sorted(order, key=list(Severity).index)
        assert set(order) == set(Severity)
