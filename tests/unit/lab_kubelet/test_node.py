"""The Node object and its Lease."""

from baremetal_lb.lab.kubelet.node import NodeSpec, lease_document, node_document, status_patch

NODE = NodeSpec("node1", ("192.0.2.11", "2001:db8:0:2::11"), ("10.244.1.0/24", "fd00:10:244:1::/64"), {"rack": "a"})
NOW = 1_800_000_000.25


def test_a_node_is_registered_ready_with_both_families() -> None:
    node = node_document(NODE, NOW)
    assert node["spec"] == {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]}
    assert [item["address"] for item in node["status"]["addresses"]] == ["192.0.2.11", "2001:db8:0:2::11", "node1"]
    assert {"rack": "a", "kubernetes.io/hostname": "node1"}.items() <= node["metadata"]["labels"].items()
    assert {item["type"]: item["status"] for item in node["status"]["conditions"]}["Ready"] == "True"


def test_addresses_are_patched_as_a_whole() -> None:
    """Merged by type, as the API would, the second InternalIP would take the place of the first."""
    assert status_patch(NODE, NOW)["status"]["addresses"][-1] == {"$patch": "replace"}


def test_a_lease_belongs_to_its_node() -> None:
    lease = lease_document(NODE, "uid-1", NOW)
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert lease["spec"]["renewTime"] == "2027-01-15T08:00:00.250000Z"
