"""Which image a reference names."""

import pytest

from baremetal_lb.lab.images import CHECKOUT, IMAGES, find_image, program_trees


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("baremetal-lb", "baremetal-lb"),
        ("baremetal-lb:0.1.0", "baremetal-lb"),
        ("registry.example/someone/baremetal-lb:0.1.0", "baremetal-lb"),
        ("registry.example:5000/echo", "echo"),
        ("nginx:1.27@sha256:0123", "nginx"),
    ],
)
def test_registry_tag_and_digest_are_left_aside(reference: str, name: str) -> None:
    assert find_image(reference) is IMAGES[name]


def test_an_image_that_is_not_in_the_table() -> None:
    assert find_image("registry.example/none/such:1") is None


def test_the_checkout_is_reachable_in_a_container() -> None:
    assert CHECKOUT in program_trees()
