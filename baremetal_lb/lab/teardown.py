"""Take a lab down, whatever state it is in: also after a crash, after a failed start, or half-way through another one.

What belongs to a lab is found by name (namespaces, state directory), not only by what it remembers.
"""

import shutil
import time

from baremetal_lb.lab.errors import LabError
from baremetal_lb.lab.names import LabPaths
from baremetal_lb.lab.netns import mounts_below, namespaces_of, processes_in, remove_namespaces, unmount
from baremetal_lb.lab.processes import Started, kill, kill_pids, wait_until_gone
from baremetal_lb.lab.state import NoSuchLabError, read_record

_EMPTY_SECONDS = 15.0
_POLL_SECONDS = 0.01


class TeardownError(LabError):
    """Something of the lab does not go away."""


def tear_down(paths: LabPaths) -> bool:
    """Take a lab down and answer whether there was anything to take down."""
    namespaces = namespaces_of(paths)
    existed = bool(namespaces) or paths.state.exists()
    processes = _recorded(paths)
    # Youngest first: kubelets must not restart what is killed after them.
    kill(reversed(processes))
    _empty(paths)
    wait_until_gone(processes)
    remove_namespaces(namespaces_of(paths))
    for mount in mounts_below(paths.state):
        unmount(mount)
    shutil.rmtree(paths.state, ignore_errors=True)
    return existed


def _recorded(paths: LabPaths) -> tuple[Started, ...]:
    try:
        return read_record(paths).processes
    except (NoSuchLabError, ValueError, KeyError, TypeError):
        # A record that was never written or is broken hides nothing: the namespaces say who belongs to the lab.
        return ()


def _empty(paths: LabPaths) -> None:
    """Kill every process in the lab's namespaces until there is none; new ones may appear while we look."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while pids := processes_in(namespaces_of(paths)):
        if time.monotonic() > deadline:
            raise TeardownError(f"processes {pids} of lab {paths.name!r} do not end")
        kill_pids(pids)
        time.sleep(_POLL_SECONDS)
