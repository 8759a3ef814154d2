"""What a container's process is given: command, arguments and environment, by Kubernetes' rules (pure)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from baremetal_lb.lab.images import Image
from baremetal_lb.lab.kubelet.podview import ContainerView, PodView, Raw


class ConfigError(Exception):
    """A container asks for what it can't have; Kubernetes calls the state CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Pod runs: what the downward API and the service account machinery tell about it."""

    node: str
    host_addresses: tuple[str, ...]
    pod_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Objects:
    """The data of the ConfigMaps and Secrets that a Pod names; those that don't exist are absent."""

    config_maps: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


_REFERENCE = re.compile(r"\$\$|\$\(([-._A-Za-z0-9]+)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; an unknown name stays as it is, and $$ is a plain dollar."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return values.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replacement, text)


def resolve_arguments(image: Image, container: ContainerView, values: Mapping[str, str]) -> tuple[str, ...]:
    """Combine image and container: `command` replaces both words of the image, `args` only its CMD."""
    if container.command:
        words = container.command + container.arguments
    else:
        words = image.entrypoint + (container.arguments or image.command)
    if not words:
        raise ConfigError("no command specified")
    return tuple(expand(word, values) for word in words)


def resolve_environment(
    container: ContainerView, pod: PodView, place: Place, objects: Objects, base: Mapping[str, str]
) -> dict[str, str]:
    """Tell the environment; `base` (image and cluster) is overridden by envFrom, and that by env.

    Raises ConfigError for a reference that leads nowhere and is not optional.
    """
    values = dict(base)
    for source in container.environment_from:
        prefix = source.get("prefix", "")
        data = _named_data(source, objects, "configMapRef", "secretRef")
        values |= {prefix + name: content.decode(errors="replace") for name, content in data.items()}
    for variable in container.environment:
        value = _value_of(variable, pod, place, objects, values)
        if value is not None:
            values[variable["name"]] = value
    return values


def field_value(path: str, pod: PodView, place: Place) -> str:
    """Answer one fieldRef; raises ConfigError for a field that the downward API doesn't have."""
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        texts = pod.labels if subscript.group(1) == "labels" else pod.annotations
        return texts.get(subscript.group(2), "")
    fields = {
        "metadata.name": pod.key.name,
        "metadata.namespace": pod.key.namespace,
        "metadata.uid": pod.key.uid,
        "metadata.labels": _listing(pod.labels),
        "metadata.annotations": _listing(pod.annotations),
        "spec.nodeName": place.node,
        "spec.serviceAccountName": pod.service_account,
        "status.hostIP": place.host_addresses[0],
        "status.hostIPs": ",".join(place.host_addresses),
        "status.podIP": "".join(place.pod_addresses[:1]),
        "status.podIPs": ",".join(place.pod_addresses),
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return fields[path]


def object_names(pod: PodView) -> tuple[frozenset[str], frozenset[str]]:
    """Tell the ConfigMaps and the Secrets that the environments of a Pod's containers name."""
    config_maps, secrets = set[str](), set[str]()
    for container in pod.all_containers:
        sources = [variable.get("valueFrom") or {} for variable in container.environment]
        for source in [*sources, *container.environment_from]:
            config_maps |= _names(source, "configMapKeyRef", "configMapRef")
            secrets |= _names(source, "secretKeyRef", "secretRef")
    return frozenset(config_maps), frozenset(secrets)


def _names(source: Raw, *kinds: str) -> set[str]:
    return {source[kind]["name"] for kind in kinds if kind in source}


def _value_of(variable: Raw, pod: PodView, place: Place, objects: Objects, earlier: Mapping[str, str]) -> str | None:
    """Answer one `env` entry; None for an optional reference that leads nowhere."""
    source = variable.get("valueFrom")
    if source is None:
        return expand(variable.get("value", ""), earlier)
    if "fieldRef" in source:
        return field_value(source["fieldRef"]["fieldPath"], pod, place)
    if "configMapKeyRef" not in source and "secretKeyRef" not in source:
        raise ConfigError(f"env {variable['name']}: {', '.join(source)} is not supported here")
    reference = source.get("configMapKeyRef") or source["secretKeyRef"]
    content = _named_data(source, objects, "configMapKeyRef", "secretKeyRef").get(reference["key"])
    if content is None and not reference.get("optional"):
        raise ConfigError(f"couldn't find key {reference['key']} in {reference['name']}")
    return None if content is None else content.decode(errors="replace")


def _named_data(source: Raw, objects: Objects, config_map: str, secret: str) -> Mapping[str, bytes]:
    """Find the data that a reference names; an optional reference to nothing is empty."""
    kind, found = ("configmap", objects.config_maps) if config_map in source else ("secret", objects.secrets)
    reference = source.get(config_map) or source[secret]
    data = found.get(reference["name"])
    if data is None and not reference.get("optional"):
        raise ConfigError(f'{kind} "{reference["name"]}" not found')
    return data or {}


def _listing(texts: Mapping[str, str]) -> str:
    """Write labels or annotations as the downward API does: one `name="value"` a line, sorted."""
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in texts.items()}
    return "\n".join(f'{name}="{value}"' for name, value in sorted(escaped.items()))
