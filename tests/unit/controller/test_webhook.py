"""The webhook, between the thread of kopf and the loop of the process: what is known, and what is said if all fails."""

import asyncio
from typing import Any

import pytest

from baremetal_lb.admission.known import Known
from baremetal_lb.admission.model import ALLOWED, Operation, Question, Verdict
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Surroundings
from baremetal_lb.controller import webhook as module
from baremetal_lb.controller.webhook import Webhook
from baremetal_lb.reasons import Reason

GOLD: dict[str, Any] = {"metadata": {"name": "gold"}, "spec": {"addresses": ["192.0.2.0/28", "2001:db8::/124"]}}
SILVER: dict[str, Any] = {"metadata": {"name": "silver"}, "spec": {"addresses": ["192.0.2.8/29", "2001:db8::8/125"]}}
CREATE_SILVER = Question(Operation.CREATE, None, SILVER)


def known(*pools: dict[str, Any]) -> Known:
    made, config = Known(), compile_config(pools, [])[0]
    made.resources_changed(pools=pools, claims=(), config=config, surroundings=Surroundings())
    return made


def webhook_of(what: Known | None) -> Webhook:
    return Webhook(0, asyncio.get_running_loop(), lambda: what)


async def test_it_answers_in_another_thread_with_what_its_own_loop_knows() -> None:
    webhook = webhook_of(known(GOLD))

    def ask() -> Verdict:
        return asyncio.run(webhook.review("ipaddresspools", CREATE_SILVER))

    verdict = await asyncio.to_thread(ask)

    assert [one.reason for one in verdict.denials] == [Reason.CONFLICT]


async def test_as_long_as_nothing_is_known_everything_is_allowed() -> None:
    assert await webhook_of(None).review("ipaddresspools", CREATE_SILVER) == ALLOWED


async def test_our_fault_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Verdict:
        raise RuntimeError("a bug")

    monkeypatch.setattr(module, "review", fail)

    assert await webhook_of(known(GOLD)).review("ipaddresspools", CREATE_SILVER) == ALLOWED
