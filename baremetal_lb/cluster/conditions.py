"""The conditions by which objects of Kubernetes tell how they are."""

from collections.abc import Iterable, Mapping
from typing import Any

Condition = Mapping[str, Any]


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition:
    """The condition of a type among these; empty where there is none."""
    return next((one for one in conditions if one.get("type") == kind), {})


def condition_of(raw: Mapping[str, Any], kind: str) -> Condition:
    """The condition of a type that an object has; empty where it has none."""
    return find_condition((raw.get("status") or {}).get("conditions") or (), kind)
