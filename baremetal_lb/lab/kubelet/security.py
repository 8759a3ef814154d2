"""A container's securityContext (and its Pod's) as the identity that its process gets (pure)."""

from baremetal_lb.lab.capabilities import granted
from baremetal_lb.lab.container import Identity
from baremetal_lb.lab.kubelet.environment import ConfigError
from baremetal_lb.lab.kubelet.podview import Raw


def resolve_identity(pod: Raw, container: Raw, image_user: int) -> Identity:
    """Combine both contexts with the image's user; the container's word counts before the Pod's.

    Raises ConfigError where runAsNonRoot forbids the user, and for unknown capabilities.
    """
    own = {**pod, **container}
    user = int(own.get("runAsUser", image_user))
    if own.get("runAsNonRoot") and user == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    try:
        kept = granted(add=capabilities.get("add") or (), drop=capabilities.get("drop") or (), privileged=privileged)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Identity(
        user=user,
        group=int(own.get("runAsGroup", 0)),
        groups=_groups(pod),
        capabilities=kept,
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        privileged=privileged,
    )


def volume_group(pod: Raw) -> int | None:
    """Tell the group that the Pod's volumes belong to, if it asks for one."""
    return None if pod.get("fsGroup") is None else int(pod["fsGroup"])


def _groups(pod: Raw) -> tuple[int, ...]:
    wanted = {int(group) for group in pod.get("supplementalGroups") or ()}
    group = volume_group(pod)
    return tuple(sorted(wanted if group is None else wanted | {group}))
