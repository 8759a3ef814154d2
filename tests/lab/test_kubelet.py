"""The small kubelet keeps Kubernetes' promises: Pods as users know them, on a real control plane."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baremetal_lb.lab.api import RequestError
from baremetal_lb.lab.container import CommandResult, Container
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.names import NAMESPACE_ROOT

NAMESPACE = "kubelet"
PATIENCE = 60.0
"""Generous, since a machine may run several labs at once; what has a time limit of its own measures it."""

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WAIT = "touch /dev/shm/up; while :; do sleep 0.1; done"
FOR_EVER = ["sh", "-c", f"trap 'exit 0' TERM; {WAIT}"]
STUBBORN = ["sh", "-c", f"trap '' TERM; {WAIT}"]
UP = {"exec": {"command": ["test", "-e", "/dev/shm/up"]}, "periodSeconds": 1, "timeoutSeconds": 10}
"""A readiness probe: passes once the signal handlers are in place (/dev/shm is writable in every container)."""


@pytest.fixture(scope="module")
def cluster(bare_lab: Lab) -> Iterator[Lab]:
    """The lab with a namespace for this file, in which Pods can be made."""
    bare_lab.kubectl("create", "namespace", NAMESPACE)
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    bare_lab.wait(lambda: bare_lab.get_json(accounts), PATIENCE, "the default service account")
    yield bare_lab
    # Kubernetes looks for what is left in ever longer intervals, so nobody waits for the end.
    bare_lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox", "command": FOR_EVER, "readinessProbe": UP, **more}


def make_pod(lab: Lab, name: str, *containers: dict[str, Any], node: str = "node1", **spec: Any) -> None:
    body = {"nodeName": node, "containers": list(containers) or [container()], **spec}
    lab.request("POST", PODS, {"metadata": {"name": name}, "spec": body})


def pod(lab: Lab, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = lab.get_json(f"{PODS}/{name}")
    return answer


def is_ready(lab: Lab, name: str) -> bool:
    conditions = pod(lab, name)["status"].get("conditions", [])
    return {"type": "Ready", "status": "True"}.items() <= {
        key: value for item in conditions if item["type"] == "Ready" for key, value in item.items()
    }.items()


def make_ready_pod(lab: Lab, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    make_pod(lab, name, *containers, **spec)
    lab.wait(lambda: is_ready(lab, name), PATIENCE, f"pod {name} ready")


def status_of(lab: Lab, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = (pod(lab, name)["status"].get("containerStatuses") or [{"state": {}}])[0]
    return answer


def waiting_reason(lab: Lab, name: str) -> str:
    return str(status_of(lab, name)["state"].get("waiting", {}).get("reason", ""))


def folder_of(lab: Lab, name: str) -> Path:
    raw = pod(lab, name)
    return lab.paths.pods(raw["spec"]["nodeName"]) / f"{NAMESPACE}_{name}_{raw['metadata']['uid']}"


def state_file(lab: Lab, name: str) -> Path:
    return folder_of(lab, name) / "containers/main/state.json"


def pid_of(lab: Lab, name: str) -> int:
    return int(json.loads(state_file(lab, name).read_text())["pid"])


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def namespace_of(lab: Lab, name: str) -> Path:
    return NAMESPACE_ROOT / lab.paths.pod_namespace(pod(lab, name)["metadata"]["uid"])


def execute(lab: Lab, name: str, *arguments: str) -> CommandResult:
    async def run() -> CommandResult:
        found = Container.adopt(folder_of(lab, name) / "containers" / "main")
        assert found is not None
        return await found.execute(arguments, 15)

    return asyncio.run(run())


def is_gone(lab: Lab, name: str) -> bool:
    try:
        pod(lab, name)
    except RequestError as error:
        return error.status == 404
    return False


def delete(lab: Lab, name: str, **options: Any) -> float:
    """Delete a Pod and tell how many seconds it took until the object was gone."""
    start = time.monotonic()
    lab.request("DELETE", f"{PODS}/{name}", options)
    lab.wait(lambda: is_gone(lab, name), PATIENCE, f"pod {name} gone")
    return time.monotonic() - start


ECHO = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: kubelet}
spec:
  replicas: 3
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: registry.example/lab/echo:latest
        args: [--http, "8080"]
        ports: [{name: http, containerPort: 8080}]
        env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: kubelet}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: echo}
  ports: [{port: 80, targetPort: http}]
"""


def test_a_deployment_is_reached_by_its_cluster_addresses_and_rolls_out_anew(cluster: Lab) -> None:
    cluster.apply(ECHO)
    rollout = ("rollout", "status", "deployment/echo", f"--namespace={NAMESPACE}", "--timeout=60s")
    cluster.kubectl(*rollout, timeout=PATIENCE)
    service = cluster.get_json(f"/api/v1/namespaces/{NAMESPACE}/services/echo")["spec"]

    def answering(address: str) -> str:
        url = f"http://[{address}]/" if ":" in address else f"http://{address}/"
        answer = cluster.run("node1", "curl", "-s", "-m", "2", url).stdout
        return str(json.loads(answer)["pod"]) if answer else ""

    def names() -> set[str]:
        items = cluster.get_json(f"{PODS}?labelSelector=app%3Decho")["items"]
        return {item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]}

    before = names()
    for address in service["clusterIPs"]:
        seen = cluster.wait(lambda address=address: answering(address), PATIENCE, f"an answer at {address}")  # type: ignore[misc]
        assert seen in before
    cluster.kubectl("rollout", "restart", "deployment/echo", f"--namespace={NAMESPACE}")
    cluster.kubectl(*rollout, timeout=PATIENCE)
    after = names()
    assert len(after) == 3
    assert not after & before
    for address in service["clusterIPs"]:
        cluster.wait(lambda address=address: answering(address) in after, PATIENCE, f"a new Pod at {address}")  # type: ignore[misc]


PROXY = "server { listen 8000; listen [::]:8000; location / { return 200 'from nginx'; } }"


def test_nginx_serves_with_a_file_of_a_config_map_as_its_configuration(cluster: Lab) -> None:
    collection = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    cluster.request("POST", collection, {"metadata": {"name": "proxy"}, "data": {"proxy.conf": PROXY}})
    nginx = {
        "name": "main",
        "image": "nginx:1.27",
        "ports": [{"name": "web", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "conf", "mountPath": "/etc/nginx/conf.d/proxy.conf", "subPath": "proxy.conf", "readOnly": True}
        ],
    }
    make_ready_pod(cluster, "nginx", nginx, volumes=[{"name": "conf", "configMap": {"name": "proxy"}}])
    for address in (item["ip"] for item in pod(cluster, "nginx")["status"]["podIPs"]):
        url = f"http://[{address}]:8000" if ":" in address else f"http://{address}:8000"
        assert cluster.run("node2", "curl", "-s", "-m", "5", url).stdout == "from nginx"


def test_identity_and_read_only_root_are_real(cluster: Lab) -> None:
    capabilities = {"drop": ["ALL"], "add": ["NET_RAW"]}
    security = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": capabilities}
    make_ready_pod(cluster, "secure", container(securityContext=security))
    lines = execute(cluster, "secure", "cat", "/proc/1/status").output.splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert [int(status[name], 16) for name in ("CapEff", "CapBnd")] == [1 << 13, 1 << 13]
    assert status["NoNewPrivs"] == "1"
    assert "Read-only file system" in execute(cluster, "secure", "touch", "/etc/x").output


def test_a_root_container_is_refused_where_the_pod_forbids_it(cluster: Lab) -> None:
    make_pod(cluster, "forbidden", securityContext={"runAsNonRoot": True})
    cluster.wait(
        lambda: waiting_reason(cluster, "forbidden") == "CreateContainerConfigError", PATIENCE, "a configuration error"
    )


def test_an_unknown_image_is_never_pulled(cluster: Lab) -> None:
    make_pod(cluster, "unknown", container(image="registry.example/none/such:1"))
    cluster.wait(lambda: waiting_reason(cluster, "unknown") == "ErrImagePull", PATIENCE, "a failed pull")
    cluster.wait(lambda: waiting_reason(cluster, "unknown") == "ImagePullBackOff", PATIENCE, "its back-off")


READER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: kubelet}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: kubelet}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: kubelet}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: kubelet}]
"""
ASK_API = """
cd /var/run/secrets/kubernetes.io/serviceaccount
curl -s -m 5 -o /dev/null -w '%{http_code}' --cacert ca.crt -H "Authorization: Bearer $(cat token)" \
  "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/$(cat namespace)/$0"
"""


def test_a_pod_speaks_with_its_own_service_account_and_rbac_refuses_the_rest(cluster: Lab) -> None:
    cluster.apply(READER)
    make_ready_pod(cluster, "reader", serviceAccountName="reader")
    answers = [
        execute(cluster, "reader", "sh", "-c", ASK_API, path).output
        for path in ("configmaps/kube-root-ca.crt", "secrets/none", "pods")
    ]
    assert answers == ["200", "403", "403"]


def test_volumes_and_environment_come_from_objects_and_follow_them(cluster: Lab) -> None:
    configuration = {"metadata": {"name": "conf"}, "data": {"greeting": "hello"}}
    collection = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    cluster.request("POST", collection, configuration)
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "scratch", "emptyDir": {}},
        {
            "name": "down",
            "downwardAPI": {"items": [{"path": "node", "fieldRef": {"fieldPath": "metadata.namespace"}}]},
        },
    ]
    environment = [
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "greeting"}}},
        {"name": "ADDRESSES", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        {"name": "BOTH", "value": "$(GREETING) from $(ADDRESSES)"},
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("conf", "scratch", "down")]
    first = {"name": "first", "image": "busybox", "volumeMounts": mounts}
    first["command"] = ["sh", "-c", "echo ready > /scratch/first"]
    main = container(env=environment, volumeMounts=mounts)
    make_ready_pod(cluster, "volumes", main, volumes=volumes, initContainers=[first])
    addresses = ",".join(item["ip"] for item in pod(cluster, "volumes")["status"]["podIPs"])
    seen = execute(cluster, "volumes", "sh", "-c", "cat /conf/greeting /scratch/first /down/node; echo; echo $BOTH")
    assert seen.output == f"helloready\n{NAMESPACE}\nhello from {addresses}\n"
    assert "Read-only" in execute(cluster, "volumes", "touch", "/conf/x").output

    cluster.request("PUT", f"{collection}/conf", {**configuration, "data": {"greeting": "goodbye"}})
    cluster.wait(
        lambda: execute(cluster, "volumes", "cat", "/conf/greeting").output == "goodbye", PATIENCE, "the new content"
    )


def test_a_failed_liveness_probe_restarts_the_container(cluster: Lab) -> None:
    probe = UP | {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "failureThreshold": 1}
    make_ready_pod(cluster, "sick", container(livenessProbe=probe))
    execute(cluster, "sick", "touch", "/tmp/sick")
    cluster.wait(lambda: status_of(cluster, "sick")["restartCount"] == 1, PATIENCE, "a restart")
    cluster.wait(lambda: is_ready(cluster, "sick"), PATIENCE, "the pod ready again")


def test_readiness_follows_its_probe(cluster: Lab) -> None:
    probe = UP | {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "failureThreshold": 1}
    make_pod(cluster, "moody", container(readinessProbe=probe))
    cluster.wait(lambda: "running" in status_of(cluster, "moody")["state"], PATIENCE, "the container running")
    assert not is_ready(cluster, "moody")
    execute(cluster, "moody", "touch", "/tmp/ready")
    cluster.wait(lambda: is_ready(cluster, "moody"), PATIENCE, "the pod ready")
    execute(cluster, "moody", "rm", "/tmp/ready")
    cluster.wait(lambda: not is_ready(cluster, "moody"), PATIENCE, "the pod not ready")


def test_a_crashing_container_is_restarted_at_once_and_then_with_back_off(cluster: Lab) -> None:
    make_pod(cluster, "crash", container(command=["sh", "-c", "echo run; exit 3"]))
    cluster.wait(lambda: waiting_reason(cluster, "crash") == "CrashLoopBackOff", PATIENCE, "back-off")
    status = status_of(cluster, "crash")
    assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 3)
    assert (folder_of(cluster, "crash") / "main.log").read_text() == "run\nrun\n"


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_that_is_never_restarted_ends(cluster: Lab, code: int, phase: str) -> None:
    name = f"once-{code}"
    make_pod(cluster, name, container(command=["sh", "-c", f"exit {code}"]), restartPolicy="Never")
    cluster.wait(lambda: pod(cluster, name)["status"]["phase"] == phase, PATIENCE, phase)


def test_a_polite_container_ends_at_once(cluster: Lab) -> None:
    make_ready_pod(cluster, "polite")
    assert delete(cluster, "polite") < 20


def test_a_stubborn_container_has_its_grace_period_and_no_more(cluster: Lab) -> None:
    make_ready_pod(cluster, "stubborn", container(command=STUBBORN))
    assert 2 <= delete(cluster, "stubborn", gracePeriodSeconds=2) < 20


def test_a_hook_runs_before_the_signal(cluster: Lab) -> None:
    volume = {"name": "notes", "hostPath": {"path": str(cluster.paths.state)}}
    mount = {"name": "notes", "mountPath": "/notes"}
    script = f"trap 'echo signal >> /notes/hook; exit 0' TERM; {WAIT}"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /notes/hook"]}}}
    main = container(command=["sh", "-c", script], lifecycle=hook, volumeMounts=[mount])
    make_ready_pod(cluster, "hooked", main, volumes=[volume])
    delete(cluster, "hooked")
    assert (cluster.paths.state / "hook").read_text() == "hook\nsignal\n"


def test_a_forced_deletion_leaves_nothing_running(cluster: Lab) -> None:
    make_ready_pod(cluster, "forced", container(command=STUBBORN))
    pid, namespace = pid_of(cluster, "forced"), namespace_of(cluster, "forced")
    assert namespace.exists()
    delete(cluster, "forced", gracePeriodSeconds=0)
    cluster.wait(lambda: not exists(pid), PATIENCE, "the process gone")
    cluster.wait(lambda: not namespace.exists(), PATIENCE, "the namespace gone")


def test_containers_outlive_their_kubelet_and_the_next_one_goes_on_with_them(cluster: Lab) -> None:
    for name in ("stays", "forced-off", "asked-off"):
        make_ready_pod(cluster, name, node="node2")
    before = pod(cluster, "stays")["status"]
    state = state_file(cluster, "stays")
    record = state.read_text()
    leaving = [pid_of(cluster, name) for name in ("forced-off", "asked-off")]
    namespace = namespace_of(cluster, "forced-off")

    cluster.fail("kubelet", "node2")
    cluster.request("DELETE", f"{PODS}/forced-off", {"gracePeriodSeconds": 0})
    cluster.request("DELETE", f"{PODS}/asked-off")
    assert exists(pid_of(cluster, "stays"))
    cluster.heal("kubelet", "node2")
    make_ready_pod(cluster, "after", node="node2")

    assert state.read_text() == record
    assert pod(cluster, "stays")["status"] == before
    addresses = [pod(cluster, name)["status"]["podIP"] for name in ("stays", "after")]
    assert len(set(addresses)) == 2
    cluster.wait(lambda: is_gone(cluster, "asked-off"), PATIENCE, "what was to be deleted is")
    cluster.wait(lambda: not namespace.exists(), PATIENCE, "what was deleted is gone here too")
    assert not any(map(exists, leaving))
    assert delete(cluster, "stays") < 20


def test_containers_killed_with_their_kubelet_start_again(cluster: Lab) -> None:
    make_ready_pod(cluster, "killed", node="node2")
    cluster.fail("kubelet", "node2")
    os.kill(int(json.loads(state_file(cluster, "killed").read_text())["keeper"]), signal.SIGKILL)
    cluster.heal("kubelet", "node2")
    cluster.wait(lambda: status_of(cluster, "killed")["restartCount"] == 1, PATIENCE, "a restart")
    cluster.wait(lambda: is_ready(cluster, "killed"), PATIENCE, "the pod ready again")


def test_containers_start_again_without_the_api_server_and_are_reported_later(cluster: Lab) -> None:
    cluster.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", {"metadata": {"name": "needed"}})
    make_ready_pod(cluster, "alone", container(envFrom=[{"secretRef": {"name": "needed"}}]))
    first, state = pid_of(cluster, "alone"), state_file(cluster, "alone")

    cluster.fail("api")
    os.kill(first, signal.SIGKILL)
    cluster.wait(lambda: json.loads(state.read_text())["pid"] != first, PATIENCE, "another process")
    cluster.heal("api")
    cluster.wait(lambda: status_of(cluster, "alone")["restartCount"] == 1, PATIENCE, "the restart reported")


def test_a_host_network_pod_has_its_nodes_addresses(cluster: Lab) -> None:
    make_ready_pod(cluster, "host", node="node3", hostNetwork=True)
    host = cluster.topology.host("node3")
    assert [item["ip"] for item in pod(cluster, "host")["status"]["podIPs"]] == [str(one) for one in host.addresses]
    assert "eth0" in execute(cluster, "host", "ls", "/sys/class/net").output
