"""Label selectors, as all of Kubernetes writes them, but checked when they are written."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from baremetal_lb.api.base import NAME_MAX, SET_OF_OBJECTS, SET_OF_TEXTS, ApiModel, Rule, Set, rules

SELECTORS_MAX = 32
EXPRESSIONS_MAX = 32
VALUES_MAX = 64


class Operator(StrEnum):
    """How a selector's expression compares a label with its values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_LABEL_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

LabelKey = Annotated[str, StringConstraints(pattern=f"^({_SUBDOMAIN}/)?{_LABEL_NAME}$", max_length=NAME_MAX + 1 + 63)]
LabelValue = Annotated[str, StringConstraints(pattern=f"^({_LABEL_NAME})?$", max_length=63)]


class LabelSelectorRequirement(ApiModel):
    """One expression about one label."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-map-type": "atomic",
            **rules(
                Rule(
                    "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                    "In and NotIn need values; Exists and DoesNotExist must have none",
                )
            ),
        }
    )

    key: LabelKey
    """The label's name."""
    operator: Operator
    """How the label is compared: In, NotIn, Exists or DoesNotExist."""
    values: Set[LabelValue] = Field(default=(), max_length=VALUES_MAX, json_schema_extra=SET_OF_TEXTS)
    """What In and NotIn compare with. Exists and DoesNotExist have none."""

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        takes_values = self.operator in {Operator.IN, Operator.NOT_IN}
        if takes_values and not self.values:
            raise ValueError(f"{self.operator} needs values")
        if self.values and not takes_values:
            raise ValueError(f"{self.operator} must have no values")
        return self


class LabelSelector(ApiModel):
    """Labels that an object must have. All parts must hold; an empty selector matches every object."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: dict[LabelKey, LabelValue] = Field(
        default={},
        max_length=EXPRESSIONS_MAX,
        json_schema_extra=rules(
            Rule(
                "self.all(key, !format.qualifiedName().validate(key).hasValue())",
                "a key is not a label name; write name or prefix.example/name",
            )
        ),
    )
    """Labels with the values that they must have."""
    match_expressions: Set[LabelSelectorRequirement] = Field(
        default=(), max_length=EXPRESSIONS_MAX, json_schema_extra=SET_OF_OBJECTS
    )
    """Expressions about labels."""
