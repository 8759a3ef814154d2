"""Objects of the API server -> checked resources, and what is wrong with those that are none."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from baremetal_lb.api.base import CustomResource, InvalidResourceError
from baremetal_lb.config.problems import Problem
from baremetal_lb.reasons import Reason

RawObject = Mapping[str, Any]
Resource = TypeVar("Resource", bound=CustomResource)


def read_all(kind: type[Resource], raw_objects: Iterable[RawObject]) -> tuple[list[Resource], list[Problem]]:
    """Check every object; one with faults is left out, with a problem for each fault."""
    resources: list[Resource] = []
    problems: list[Problem] = []
    for raw in raw_objects:
        try:
            resources.append(kind.read(raw))
        except InvalidResourceError as error:
            problems += [Problem(kind.__name__, name_of(raw), Reason.INVALID_SPEC, fault) for fault in error.faults]
    return resources, problems


def name_of(raw: RawObject) -> str:
    """The object's name."""
    return str(raw["metadata"]["name"])
