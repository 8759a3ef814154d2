"""Find the logs of a lab's processes and of its containers by a name that a person would type."""

from pathlib import Path

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths


class NoSuchLogError(LabError):
    """Nothing of this name writes a log."""


def find_logs(paths: LabPaths, name: str) -> list[Path]:
    """Find the log of a process, or those of the containers of all Pods whose name starts so; raise NoSuchLogError.

    A Pod's name may have its namespace before a slash: `default/web`.
    """
    process = paths.log(name)
    if process.is_file():
        return [process]
    found = [log for log in _container_logs(paths) if _is_meant(log.parent.name, name)]
    if not found:
        raise NoSuchLogError(f"no log of {name!r}; processes: {', '.join(_processes(paths))}; Pods: {_pods(paths)}")
    return found


def _is_meant(directory: str, name: str) -> bool:
    """Compare with the name of a Pod's directory: namespace, Pod and uid, joined by underscores."""
    namespace, pod, _uid = directory.split("_")
    wanted_namespace, slash, wanted_pod = name.rpartition("/")
    return pod.startswith(wanted_pod) and (not slash or namespace == wanted_namespace)


def _container_logs(paths: LabPaths) -> list[Path]:
    return sorted(paths.state.glob("node/*/pods/*_*_*/*.log"))


def _processes(paths: LabPaths) -> list[str]:
    return sorted(log.stem for log in paths.logs.glob("*.log"))


def _pods(paths: LabPaths) -> str:
    return ", ".join(sorted({"/".join(log.parent.name.split("_")[:2]) for log in _container_logs(paths)})) or "none"
