"""The images of the lab: a table of local commands, found by an image reference's last word.

Registry, tag and digest are left aside: `registry.example/someone/baremetal-lb:0.1.0` is our own checkout. Whatever the
machine has installed is inside every image, because a container's root is an overlay over the machine's.
"""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import baremetal_lb

CHECKOUT = Path(baremetal_lb.__file__).resolve().parents[1]
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image's own configuration would say: ENTRYPOINT, CMD, ENV, USER, STOPSIGNAL, and files it adds."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": SEARCH_PATH})
    user: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    files: Mapping[str, str] = field(default_factory=dict)


_OUR_COMMAND = f"""#!/bin/sh
exec {sys.executable} -m baremetal_lb.cli.main "$@"
"""

IMAGES: Mapping[str, Image] = {
    "baremetal-lb": Image(
        entrypoint=("baremetal-lb",),
        environment={
            "PATH": SEARCH_PATH,
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        },
        files={"/usr/local/bin/baremetal-lb": _OUR_COMMAND},
    ),
    "echo": Image(
        entrypoint=(sys.executable, "-I", "-S", str(CHECKOUT / "baremetal_lb/lab/echo.py")),
        command=("--http", "8080", "--udp", "8080"),
    ),
    "nginx": Image(command=("nginx", "-g", "daemon off;"), stop_signal=signal.SIGQUIT),
    "shell": Image(command=("sh",)),
    "busybox": Image(command=("sh",)),
}


def find_image(reference: str) -> Image | None:
    """Find the image that a reference names, whatever its registry, tag and digest."""
    name = reference.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return IMAGES.get(name)


def program_trees() -> tuple[Path, ...]:
    """Folders outside of a plain system that images need: the checkout and the interpreter with its packages."""
    trees = {CHECKOUT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    trees |= {path for path in (Path("/usr"), Path("/opt")) if path.is_dir()}
    return tuple(sorted(tree for tree in trees if not tree.parent.is_relative_to(CHECKOUT)))
