"""What the custom resources share: metadata, conditions, and how a rule of theirs is written down.

A rule stands here twice, side by side: as a validator for what we read, and as schema (CEL where need be) for the API
server, so that bad objects are refused when they are written. `tests/lab/test_crds.py` holds the two together.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel

GROUP = "baremetal-lb.io"
VERSION = "v1"
READY = "Ready"
"""The type of the condition that says whether a custom resource is in force."""

NAME_MAX = 253

DNSLabel = Annotated[str, StringConstraints(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
"""How Kubernetes names Namespaces and Services."""

T = TypeVar("T")


class Rule(NamedTuple):
    """A CEL rule; `advice` is a CEL expression that makes a message with the remedy from the refused value."""

    expression: str
    message: str
    advice: str = ""

    def schema(self) -> dict[str, JsonValue]:
        """The rule as a schema states it."""
        advice: dict[str, JsonValue] = {"messageExpression": self.advice} if self.advice else {}
        return {"rule": self.expression, "message": self.message} | advice


def rules(*several: Rule) -> dict[str, JsonValue]:
    """The rules as an extension of a schema."""
    return {"x-kubernetes-validations": [rule.schema() for rule in several]}


def _refuse_duplicates(items: object) -> object:
    """Refuse a list with the same item twice, by the text of the items, as the API server does for a set."""
    seen: set[str] = set()
    for item in items if isinstance(items, list) else []:
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            raise ValueError(f"{text} is there twice; remove one")
        seen.add(text)
    return items


Set = Annotated[tuple[T, ...], BeforeValidator(_refuse_duplicates)]
"""A list without duplicates, in the order written."""


def at_least_one(thing: str) -> AfterValidator:
    """Refuse an empty list of things; in the schema this is minItems."""

    def refuse_none(items: tuple[T, ...]) -> tuple[T, ...]:
        if not items:
            raise ValueError(f"is empty; write at least one {thing}")
        return items

    return AfterValidator(refuse_none)


SET_OF_TEXTS: dict[str, JsonValue] = {"x-kubernetes-list-type": "set"}
SET_OF_OBJECTS: dict[str, JsonValue] = {
    "x-kubernetes-list-type": "atomic",
    **rules(Rule("self.all(one, self.exists_one(other, other == one))", "an item is there twice; remove one")),
}
"""The schemas of a `Set`. Kubernetes has a list type for texts only."""

WRITTEN_AS_A_WHOLE: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}
"""One process writes all of it; for a list that several share, Kubernetes would note down the owner of each item."""


class ApiModel(BaseModel):
    """Any part of a custom resource. Unknown fields are passed over: a newer version may have written them."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


class Metadata(ApiModel):
    """What we use of an object's metadata."""

    name: str
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class ConditionStatus(StrEnum):
    """The three answers of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of an object's state, in the form that all of Kubernetes uses."""

    type: str = Field(max_length=316)
    """What the condition is about, such as Ready."""
    status: ConditionStatus
    """Whether it holds."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that the condition speaks of."""
    last_transition_time: datetime
    """When the status changed last."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why, in one word."""
    message: str = Field(max_length=32768)
    """Why, in words for a person."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class PrinterColumn(NamedTuple):
    """A column of `kubectl get`; one with a priority above 0 is shown with `-o wide` only."""

    name: str
    type: str
    json_path: str
    description: str
    priority: int = 0


READY_COLUMN = PrinterColumn(
    "Ready", "string", f'.status.conditions[?(@.type=="{READY}")].status', "Whether it is in force"
)
AGE_COLUMN = PrinterColumn("Age", "date", ".metadata.creationTimestamp", "How old it is")


class Names(NamedTuple):
    """How people call a kind on the command line."""

    plural: str
    singular: str
    short: tuple[str, ...]


class CustomResource(ApiModel):
    """A cluster-scoped object of our API group."""

    names: ClassVar[Names]
    printer_columns: ClassVar[tuple[PrinterColumn, ...]]

    metadata: Metadata

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Check an API server's object; raise InvalidResourceError with all its faults."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            faults = tuple(_fault(one["loc"], one["msg"], one.get("ctx", {})) for one in error.errors())
            raise InvalidResourceError(faults) from error


@dataclass(frozen=True)
class InvalidResourceError(ValueError):
    """A custom resource that cannot be used; each fault says where it is, what it is and what to do."""

    faults: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.faults)


def _fault(location: tuple[int | str, ...], message: str, context: Mapping[str, Any]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
    return f"{path}: {context.get('error', message)}"
