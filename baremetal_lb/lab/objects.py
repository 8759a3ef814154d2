"""The objects that people apply to try the product out: pools, advertisements, an echo workload, Services.

Plain dicts, as the API server takes them. `collection` and `path` tell where each kind lives there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from baremetal_lb.cluster.service import FamilyPolicy, TrafficPolicy

Object = dict[str, Any]

GROUP = "/apis/baremetal-lb.io/v1"
ECHO_PORT = 8080

_COLLECTIONS: Mapping[str, str] = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "IPAddressPool": f"{GROUP}/ipaddresspools",
    "IPAddressClaim": f"{GROUP}/ipaddressclaims",
    "L2Advertisement": f"{GROUP}/l2advertisements",
    "SpeakerStatus": f"{GROUP}/speakerstatuses",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Event": "/api/v1/namespaces/{namespace}/events",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
}


def collection(kind: str, namespace: str = "") -> str:
    """Tell the path of all objects of a kind (in a namespace, where the kind has them)."""
    return _COLLECTIONS[kind].format(namespace=namespace)


def path(thing: Mapping[str, Any]) -> str:
    """Tell the path of one object."""
    metadata = thing["metadata"]
    return f"{collection(thing['kind'], metadata.get('namespace', ''))}/{metadata['name']}"


def pool(name: str, addresses: Iterable[str], **spec: object) -> Object:
    """Make an IPAddressPool."""
    return _custom_resource("IPAddressPool", name, {"addresses": list(addresses), **spec})


def claim(name: str, addresses: Iterable[str], **spec: object) -> Object:
    """Make an IPAddressClaim."""
    return _custom_resource("IPAddressClaim", name, {"addresses": list(addresses), **spec})


def advertisement(name: str, pools: Iterable[str], **spec: object) -> Object:
    """Make an L2Advertisement for pools by name."""
    return _custom_resource("L2Advertisement", name, {"ipAddressPools": list(pools), **spec})


def namespace(
    name: str = "",
    *,
    prefix: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Make a Namespace; with a prefix instead of a name, the API server completes the name."""
    named = {"name": name} if name else {"generateName": prefix}
    metadata = {**named, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def service(
    name: str,
    *,
    selector: Mapping[str, str],
    ports: Sequence[Mapping[str, Any]] = ({"port": 80, "targetPort": ECHO_PORT},),
    families: Sequence[str] = ("IPv4", "IPv6"),
    policy: TrafficPolicy = TrafficPolicy.CLUSTER,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: object,
) -> Object:
    """Make a Service of type LoadBalancer; several families make it RequireDualStack."""
    stack = FamilyPolicy.REQUIRE_DUAL_STACK if len(families) > 1 else FamilyPolicy.SINGLE_STACK
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})},
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": list(families),
            "ipFamilyPolicy": stack.value,
            "externalTrafficPolicy": policy.value,
            "selector": dict(selector),
            "ports": list(ports),
            **spec,
        },
    }


def echo(name: str, labels: Mapping[str, str], *, replicas: int = 1, node: str | None = None) -> Object:
    """Make a Deployment of the echo workload, on one node if that is named."""
    return deployment(name, labels, [echo_container()], replicas=replicas, node=node)


def echo_container() -> Object:
    """Make the container that answers with its Pod, its node and the client it sees."""
    return {
        "name": "echo",
        "image": "echo",
        "env": [_from_field("POD_NAME", "metadata.name"), _from_field("NODE_NAME", "spec.nodeName")],
        "readinessProbe": {"httpGet": {"path": "/", "port": ECHO_PORT}, "periodSeconds": 1},
    }


def deployment(
    name: str,
    labels: Mapping[str, str],
    containers: Sequence[Object],
    *,
    replicas: int = 1,
    node: str | None = None,
    volumes: Sequence[Object] = (),
) -> Object:
    """Make a Deployment; its Pods stop at once, for they have nothing to finish."""
    pod_spec: Object = {"containers": list(containers), "terminationGracePeriodSeconds": 1, "volumes": list(volumes)}
    if node is not None:
        pod_spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod_spec},
        },
    }


def _from_field(name: str, field_path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field_path}}}


def _custom_resource(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "baremetal-lb.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
