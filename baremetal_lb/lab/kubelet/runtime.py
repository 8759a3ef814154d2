"""What all Pods of a node share, and how a container of a Pod's spec becomes one that can be started."""

from dataclasses import dataclass, replace
from pathlib import Path

from baremetal_lb.kube.client import KubeClient
from baremetal_lb.lab.container import ContainerSpec, Mount, Program, Root
from baremetal_lb.lab.images import Image, find_image, program_trees
from baremetal_lb.lab.kubelet.environment import (
    ConfigError,
    Place,
    object_names,
    resolve_arguments,
    resolve_environment,
)
from baremetal_lb.lab.kubelet.events import PodEvents
from baremetal_lb.lab.kubelet.network import PodNetwork
from baremetal_lb.lab.kubelet.podview import ContainerView, PodKey, PodView
from baremetal_lb.lab.kubelet.security import resolve_identity
from baremetal_lb.lab.kubelet.source import ObjectSource
from baremetal_lb.lab.kubelet.volumes import PodVolumes, environment_objects, is_writable


class ImageNotFound(Exception):  # noqa: N818  # a state of the container, as Kubernetes words it
    """The image is not in the lab's table."""


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What every Pod of this node uses. `place` has the node's addresses only."""

    client: KubeClient
    source: ObjectSource
    network: PodNetwork
    events: PodEvents
    place: Place
    pods_folder: Path

    def folder_of(self, key: PodKey) -> Path:
        """Tell the folder that holds a Pod's logs, volumes and containers."""
        return self.pods_folder / str(key)

    def container_folder(self, key: PodKey, container: str) -> Path:
        """Tell where the state of a container is."""
        return self.folder_of(key) / "containers" / container

    def volumes_of(self, key: PodKey, place: Place) -> PodVolumes:
        """Give access to the volumes of a Pod that has its addresses already."""
        return PodVolumes(self.folder_of(key) / "volumes", self.source, place)

    def place_of(self, pod: PodView, addresses: tuple[str, ...]) -> Place:
        """Tell the place of a Pod: with the node's addresses where it uses the node's network."""
        return replace(self.place, pod_addresses=self.place.host_addresses if pod.host_network else addresses)


def image_of(container: ContainerView) -> Image:
    """Find a container's image; raises ImageNotFound."""
    image = find_image(container.image)
    if image is None:
        raise ImageNotFound(f'image "{container.image}" is not in the lab\'s table of images')
    return image


async def prepare(services: NodeServices, pod: PodView, container: ContainerView, place: Place) -> ContainerSpec:
    """Resolve everything that a container's start needs; raises ImageNotFound, ConfigError and ApiError."""
    image = image_of(container)
    objects = await environment_objects(services.source, pod.key.namespace, object_names(pod))
    hostname = place.node if pod.host_network else pod.hostname
    base = {**image.environment, "HOSTNAME": hostname, **await services.source.cluster_environment()}
    environment = resolve_environment(container, pod, place, objects, base)
    program = Program(resolve_arguments(image, container, environment), environment, container.working_directory or "/")
    return ContainerSpec(
        directory=services.container_folder(pod.key, container.name),
        log=services.folder_of(pod.key) / f"{container.name}.log",
        program=program,
        identity=resolve_identity(pod.security, container.security, image.user),
        root=Root(
            read_only=bool(container.security.get("readOnlyRootFilesystem")),
            mounts=_mounts(services.volumes_of(pod.key, place), pod, container),
            trees=program_trees(),
            files={**image.files, "/etc/hosts": _hosts_file(hostname, place), "/etc/hostname": f"{hostname}\n"},
        ),
        network_namespace=None if pod.host_network else services.network.namespace_of(pod.key),
        hostname=hostname,
    )


def _mounts(volumes: PodVolumes, pod: PodView, container: ContainerView) -> tuple[Mount, ...]:
    """Tell what is mounted where, outer paths first; raises ConfigError for a path twice."""
    paths = [mount.path for mount in container.mounts]
    if len(set(paths)) != len(paths):
        raise ConfigError(f"two volumes at one path: {', '.join(paths)}")
    mounts = (
        Mount(volumes.locate(mount, pod), mount.path, mount.read_only or not is_writable(pod.volume(mount.volume)))
        for mount in container.mounts
    )
    return tuple(sorted(mounts, key=lambda mount: mount.target))


def _hosts_file(hostname: str, place: Place) -> str:
    own = "".join(f"{address}\t{hostname}\n" for address in place.pod_addresses)
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{own}"
