"""What the API server wrote down about our processes, in a lab that was made with `audit`."""

import json
from collections.abc import Iterator
from typing import Any

from baremetal_lb.lab.controlplane import AUDIT_LOG
from baremetal_lb.lab.names import LabPaths

_WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def requests_of(paths: LabPaths, process: str) -> Iterator[dict[str, Any]]:
    """Yield the audit Event of each request of our controller or speaker so far that named a resource."""
    written = paths.log(AUDIT_LOG).read_text().splitlines(keepends=True)
    # The last line may be half there.
    for event in (json.loads(line) for line in written if line.endswith("\n")):
        if event["user"]["username"].endswith(f":{process}") and "objectRef" in event:
            yield event


def writes_of(paths: LabPaths, process: str) -> list[str]:
    """Tell what a process has written so far: verb, resource and object."""
    return [
        f"{event['verb']} {resource_of(event)} {event['objectRef'].get('name', '')}"
        for event in requests_of(paths, process)
        if event["verb"] in _WRITES
    ]


def resource_of(event: dict[str, Any]) -> str:
    """Tell the resource that a request is about, with its subresource."""
    reference = event["objectRef"]
    return "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
