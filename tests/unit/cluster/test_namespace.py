"""What a Namespace says of the addresses that its Services may have."""

from typing import Any

import pytest

from baremetal_lb.cluster.namespace import NamespaceView, parse_namespace

QUOTA = "baremetal-lb.io/address-quota"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({}, NamespaceView("shop"), id="nothing said: no limit"),
        pytest.param({"labels": None, "annotations": None}, NamespaceView("shop"), id="empty maps may be null"),
        pytest.param({"labels": {"team": "a"}}, NamespaceView("shop", {"team": "a"}), id="labels"),
        pytest.param({"annotations": {QUOTA: "5"}}, NamespaceView("shop", quota=5), id="a number"),
        pytest.param({"annotations": {QUOTA: " 5 "}}, NamespaceView("shop", quota=5), id="with blanks around it"),
        pytest.param({"annotations": {QUOTA: "0"}}, NamespaceView("shop", quota=0), id="none at all"),
        pytest.param({"annotations": {QUOTA: ""}}, NamespaceView("shop"), id="a blank one is none"),
        *(
            pytest.param(
                {"annotations": {QUOTA: text}}, NamespaceView("shop", unreadable_quota=text), id=f"no number: {text}"
            )
            for text in ("five", "-1", "1.5", "5 addresses", "\u00b2", "\u0665")
        ),
    ],
)
def test_a_namespace_is_read(metadata: dict[str, Any], expected: NamespaceView) -> None:
    assert parse_namespace({"metadata": {"name": "shop", **metadata}}) == expected
