"""Label selectors (matchLabels and matchExpressions), compiled once."""

from collections.abc import Mapping
from dataclasses import dataclass

from baremetal_lb.api.selector import LabelSelector, Operator


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression of a selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the expression; an absent key meets NotIn, as in Kubernetes."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """All of its requirements must hold; one without any matches everything, as in Kubernetes."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet every requirement."""
        return all(one.matches(labels) for one in self.requirements)


def compile_selector(selector: LabelSelector) -> Selector:
    """Make requirements of both parts; a label to match is an expression with one value."""
    labels = [Requirement(key, Operator.IN, frozenset({value})) for key, value in sorted(selector.match_labels.items())]
    expressions = [Requirement(one.key, one.operator, frozenset(one.values)) for one in selector.match_expressions]
    return Selector((*labels, *expressions))
