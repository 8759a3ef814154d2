"""externalTrafficPolicy: who announces, what address the Pods see, and an nginx in front of them."""

from functools import partial

import pytest

from baremetal_lb.addresses import Address, family_of
from baremetal_lb.cluster.service import TrafficPolicy
from baremetal_lb.lab import objects
from baremetal_lb.lab.lab import Lab
from baremetal_lb.lab.objects import Object
from baremetal_lb.lab.probes import Vantage
from baremetal_lb.lab.sandbox import Sandbox
from baremetal_lb.lab.waiting import wait_for

ECHO = {"app": "echo"}


def test_local_keeps_the_address_of_the_client(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    service = sandbox.request_service("web", ECHO, policy=TrafficPolicy.LOCAL)
    for address in service.assigned():
        page = wait_for(f"a page from {address}", partial(client.fetch, address))
        assert page.json["client"] == str(client.address(family_of(address)))
        assert {page.json["node"]} == client.announcers(address)


def test_cluster_hides_the_address_of_the_client(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    for address in sandbox.request_service("web", ECHO).assigned():
        page = wait_for(f"a page from {address}", partial(client.fetch, address))
        assert page.json["client"] != str(client.address(family_of(address)))


@pytest.mark.parametrize("node", ["node1", "node2", "node3"])
def test_local_is_announced_where_the_pod_is(sandbox: Sandbox, client: Vantage, node: str) -> None:
    sandbox.offer()
    service = sandbox.request_service("web", {"on": node}, policy=TrafficPolicy.LOCAL)
    for address in service.assigned():
        wait_for(f"{node} announces {address}", partial(client.announcers, address), lambda seen: seen == {node})
        wait_for(f"a page from {address}", partial(client.reaches, address))


def test_cluster_is_announced_wherever_the_pods_are(sandbox: Sandbox, client: Vantage) -> None:
    """Five Services with their only Pod on node 1 are not all announced there."""
    sandbox.offer()
    services = [sandbox.request_service(f"web{number}", {"on": "node1"}) for number in range(5)]
    addresses = [address for service in services for address in service.assigned()]
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    assert set().union(*(client.announcers(address) for address in addresses)) - {"node1"}


def test_local_follows_its_pod_to_another_node(sandbox: Sandbox, client: Vantage) -> None:
    sandbox.offer()
    labels = {"app": sandbox.name("mover")}
    mover = sandbox.name("mover")
    sandbox.create(objects.echo(mover, labels, node="node1"))
    service = sandbox.request_service("web", labels, policy=TrafficPolicy.LOCAL)
    addresses = service.assigned()
    _wait_for_holder(client, addresses, "node1")
    template = {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node3"}}}
    sandbox.patch("Deployment", mover, {"spec": {"template": template}})
    _wait_for_holder(client, addresses, "node3")
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    assert service.addresses() == addresses


def _wait_for_holder(client: Vantage, addresses: tuple[Address, ...], node: str) -> None:
    for address in addresses:
        wait_for(f"{node} announces {address}", partial(client.announcers, address), lambda seen: seen == {node})


@pytest.mark.parametrize("policy", list(TrafficPolicy))
def test_without_pods_nothing_is_announced(sandbox: Sandbox, client: Vantage, lab: Lab, policy: TrafficPolicy) -> None:
    """The Service keeps its address, the user is told why it is silent, and it comes back with its first Pod."""
    sandbox.offer()
    labels = {"app": sandbox.name("fleeting")}
    deployment = sandbox.name("fleeting")
    sandbox.create(objects.echo(deployment, labels, replicas=2))
    service = sandbox.request_service("web", labels, policy=policy)
    addresses = service.assigned()
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))
    sandbox.patch("Deployment", deployment, {"spec": {"replicas": 0}})
    for address in addresses:
        wait_for(f"nobody announces {address}", partial(client.announcers, address), lambda seen: not seen)
    assert service.addresses() == addresses
    wait_for("the user is told", lambda: service.events("NoEndpoint"))
    assert "NoEndpoint" in lab.kubectl("describe", "service", "-n", sandbox.namespace, service.name)
    sandbox.patch("Deployment", deployment, {"spec": {"replicas": 1}})
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))


def test_a_service_that_nobody_advertises_says_so(sandbox: Sandbox, client: Vantage) -> None:
    pool = sandbox.name("pool")
    sandbox.create(objects.pool(pool, sandbox.block.ranges()))
    service = sandbox.request_service("web", ECHO)
    addresses = service.assigned()
    wait_for("the user is told", lambda: service.events("NoAdvertisement"))
    for address in addresses:
        assert client.announcers(address) == set()
    sandbox.create(objects.advertisement(pool, [pool]))
    for address in addresses:
        wait_for(f"a page from {address}", partial(client.reaches, address))


def test_an_advertisement_chooses_the_nodes(sandbox: Sandbox, client: Vantage) -> None:
    pool = sandbox.name("pool")
    sandbox.create(objects.pool(pool, sandbox.block.ranges()))
    only_node2 = [{"matchLabels": {"kubernetes.io/hostname": "node2"}}]
    sandbox.create(objects.advertisement(pool, [pool], nodeSelectors=only_node2))
    services = [sandbox.request_service(f"web{number}", ECHO) for number in range(3)]
    for address in (address for service in services for address in service.assigned()):
        wait_for(f"node2 announces {address}", partial(client.announcers, address), lambda seen: seen == {"node2"})


class TestNginxAsProxy:
    """Debian's nginx behind a Local Service, echoes behind nginx: the client's address survives both."""

    @pytest.fixture
    def backend(self, sandbox: Sandbox) -> str:
        name = sandbox.name("backend")
        sandbox.create(objects.service(name, selector=ECHO, type="ClusterIP", externalTrafficPolicy=None))
        return str(sandbox.read("Service", name)["spec"]["clusterIP"])

    def test_the_echo_behind_it_learns_the_client(self, sandbox: Sandbox, client: Vantage, backend: str) -> None:
        sandbox.offer()
        name = sandbox.name("nginx")
        sandbox.create(_configuration(name, backend))
        sandbox.create(_nginx(name))
        service = sandbox.request_service("web", {"app": name}, policy=TrafficPolicy.LOCAL)
        for address in service.assigned():
            for url in ("/real", "/forwarded"):
                page = wait_for(
                    f"a page from {address}", partial(client.fetch, address, url=url), lambda got: got.status == 200
                )
                assert page.json["forwarded"] == str(client.address(family_of(address)))


def _configuration(name: str, backend: str) -> Object:
    text = f"""
    error_log stderr;
    pid /tmp/nginx.pid;
    events {{}}
    http {{
      access_log off;
      server {{
        listen 8080;
        listen [::]:8080;
        location /real {{
          proxy_pass http://{backend}:80;
          proxy_set_header X-Real-IP $remote_addr;
        }}
        location /forwarded {{
          proxy_pass http://{backend}:80;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
      }}
    }}
    """
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"nginx.conf": text}}


def _nginx(name: str) -> Object:
    container: Object = {
        "name": "nginx",
        "image": "nginx",
        "command": ["nginx", "-c", "/config/nginx.conf", "-g", "daemon off;"],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    volumes: list[Object] = [{"name": "config", "configMap": {"name": name}}]
    return objects.deployment(name, {"app": name}, [container], replicas=2, volumes=volumes)
