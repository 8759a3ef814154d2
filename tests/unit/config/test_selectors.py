"""Which labels a selector matches, as in all of Kubernetes."""

from typing import Any

import pytest

from baremetal_lb.api.selector import LabelSelector
from baremetal_lb.config.selectors import compile_selector


def expression(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "rack", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("raw", "labels", "matches"),
    [
        pytest.param({}, {}, True, id="an empty selector matches an object without labels"),
        pytest.param({}, {"rack": "a"}, True, id="an empty selector matches any object"),
        pytest.param({"matchLabels": {"rack": "a"}}, {"rack": "a", "x": "y"}, True, id="a label with the value"),
        pytest.param({"matchLabels": {"rack": "a"}}, {"rack": "b"}, False, id="a label with another value"),
        pytest.param({"matchLabels": {"rack": "a"}}, {}, False, id="no such label"),
        pytest.param({"matchLabels": {"rack": ""}}, {}, False, id="an empty value is not an absent label"),
        pytest.param({"matchLabels": {"rack": "a", "x": "y"}}, {"rack": "a"}, False, id="all labels must match"),
        pytest.param(expression("In", "a", "b"), {"rack": "b"}, True, id="In: one of the values"),
        pytest.param(expression("In", "a", "b"), {"rack": "c"}, False, id="In: none of the values"),
        pytest.param(expression("In", "a"), {}, False, id="In: an absent label has no value"),
        pytest.param(expression("NotIn", "a"), {"rack": "b"}, True, id="NotIn: another value"),
        pytest.param(expression("NotIn", "a"), {"rack": "a"}, False, id="NotIn: the value"),
        pytest.param(expression("NotIn", "a"), {}, True, id="NotIn: an absent label matches"),
        pytest.param(expression("Exists"), {"rack": ""}, True, id="Exists: whatever the value"),
        pytest.param(expression("Exists"), {}, False, id="Exists: not an absent label"),
        pytest.param(expression("DoesNotExist"), {}, True, id="DoesNotExist: an absent label"),
        pytest.param(expression("DoesNotExist"), {"rack": ""}, False, id="DoesNotExist: no label at all"),
        pytest.param(
            {"matchLabels": {"x": "y"}, **expression("Exists")},
            {"x": "y"},
            False,
            id="labels and expressions must match",
        ),
    ],
)
def test_a_selector_matches(raw: dict[str, Any], labels: dict[str, str], matches: bool) -> None:
    assert compile_selector(LabelSelector.model_validate(raw)).matches(labels) is matches
