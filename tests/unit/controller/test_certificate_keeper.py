"""The keeper of the webhook's certificate, against an API server with the two objects that it keeps."""

import asyncio
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from baremetal_lb.controller.certificate_keeper import CONFIGURATION_PATH, SECRET_PATH, CertificateKeeper
from baremetal_lb.controller.webhook_certificate import (
    ServingCertificate,
    make_certificate,
    read_bundle,
    read_certificate,
)
from baremetal_lb.kube.client import ApiError
from baremetal_lb.settings import ControllerSettings

NAME = "controller-webhook.baremetal-lb-system.svc"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=61)
SETTINGS = ControllerSettings(certificate_check_seconds=0, certificate_settle_seconds=0)


class Api:
    """A Secret and a webhook configuration, with versions that guard against a lost update."""

    def __init__(self) -> None:
        hooks = [{"name": name, "clientConfig": {"service": {"path": f"/{name}"}}} for name in ("pools", "services")]
        self.objects: dict[str, dict[str, Any]] = {
            SECRET_PATH: {"metadata": {"resourceVersion": "1"}},
            CONFIGURATION_PATH: {"metadata": {"resourceVersion": "1"}, "webhooks": hooks},
        }
        self.patches: list[str] = []

    async def get(self, path: str, **_query: str | int) -> dict[str, Any]:
        if path not in self.objects:
            raise ApiError(404, "NotFound", path)
        return deepcopy(self.objects[path])

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError(f"{path} needs a right that we do not have: {body}")

    async def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        raw = self.objects[path]
        if body["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", path)
        self.patches.append(path)
        version = str(int(raw["metadata"]["resourceVersion"]) + 1)
        self.objects[path] = {**raw, **body, "metadata": {"resourceVersion": version}}
        return self.objects[path]

    def trust(self) -> set[tuple[bytes, ...]]:
        webhooks = self.objects[CONFIGURATION_PATH]["webhooks"]
        return {read_bundle(one["clientConfig"].get("caBundle", "")) for one in webhooks}

    def certificate(self) -> ServingCertificate:
        certificate = read_certificate(self.objects[SECRET_PATH]["data"])
        assert certificate is not None
        return certificate


def keeper_of(api: Api, served: list[bytes]) -> CertificateKeeper:
    return CertificateKeeper(api, SETTINGS, served.append)


async def settle(keeper: CertificateKeeper, now: datetime = NOW) -> int:
    turns = 1
    while not await keeper.turn(now):
        turns += 1
    return turns


async def test_a_certificate_is_made_trusted_and_then_served() -> None:
    api, served = Api(), list[bytes]()

    assert not await keeper_of(api, served).turn(NOW)
    assert (api.trust(), served) == ({(api.certificate().authority,)}, [])
    await settle(keeper_of(api, served))

    assert len(served) == 1
    assert api.patches == [SECRET_PATH, CONFIGURATION_PATH]


async def test_what_is_settled_is_left_alone() -> None:
    api, served = Api(), list[bytes]()
    keeper = keeper_of(api, served)
    await settle(keeper)
    api.patches.clear()

    assert await settle(keeper) == 1
    assert (api.patches, len(served)) == ([], 1)


async def test_a_new_certificate_is_served_only_after_it_is_trusted_and_the_old_one_is_trusted_on() -> None:
    api, served = Api(), list[bytes]()
    keeper = keeper_of(api, served)
    await settle(keeper)
    before = api.certificate()

    assert not await keeper.turn(LATER)
    after = api.certificate()
    assert len(served) == 1
    assert api.trust() == {(after.authority, before.authority)}

    assert await keeper.turn(LATER)
    assert served == [before.chain, after.chain]


async def test_replicas_end_up_with_one_certificate() -> None:
    """The slower one's write is refused, and it takes what the faster one made."""
    api, served, served_too = Api(), list[bytes](), list[bytes]()
    keeper, slower = keeper_of(api, served), keeper_of(api, served_too)
    outdated = deepcopy(api.objects[SECRET_PATH])
    await settle(keeper)
    made, api.objects[SECRET_PATH] = api.objects[SECRET_PATH], outdated
    original = api.get

    async def get(path: str, **query: str | int) -> dict[str, Any]:
        answer = await original(path, **query)
        api.objects[SECRET_PATH] = made
        return answer

    api.get = get  # type: ignore[method-assign]  # the object changes between the read and the write
    with pytest.raises(ApiError, match="409"):
        await slower.turn(NOW)
    await settle(slower)

    assert served_too == served


async def test_trust_that_was_overwritten_is_restored() -> None:
    api, served = Api(), list[bytes]()
    keeper = keeper_of(api, served)
    await settle(keeper)
    del api.objects[CONFIGURATION_PATH]["webhooks"][0]["clientConfig"]["caBundle"]

    await settle(keeper)

    assert api.trust() == {(api.certificate().authority,)}


async def test_without_a_configuration_nobody_has_to_trust_us() -> None:
    api, served = Api(), list[bytes]()
    del api.objects[CONFIGURATION_PATH]

    assert await keeper_of(api, served).turn(NOW)
    assert len(served) == 1


async def test_what_is_still_served_is_trusted_on_even_where_the_secret_has_forgotten_it() -> None:
    api, served = Api(), list[bytes]()
    keeper = keeper_of(api, served)
    await settle(keeper)
    before = api.certificate()
    del api.objects[SECRET_PATH]["data"]

    await keeper.turn(NOW)

    assert api.trust() == {(api.certificate().authority, before.authority)}


async def test_a_certificate_that_a_user_put_there_is_served_as_long_as_it_is_good() -> None:
    api, served = Api(), list[bytes]()
    theirs = make_certificate(NAME, NOW - timedelta(days=1))
    api.objects[SECRET_PATH]["data"] = theirs.secret_data()

    await settle(keeper_of(api, served))

    assert served == [theirs.chain]


async def test_it_goes_on_when_the_api_server_does() -> None:
    api, served = Api(), asyncio.Queue[bytes]()
    secret = api.objects.pop(SECRET_PATH)
    task = asyncio.create_task(CertificateKeeper(api, SETTINGS, served.put_nowait).run())
    for _ in range(3):
        await asyncio.sleep(0)
    api.objects[SECRET_PATH] = secret

    async with asyncio.timeout(10):
        assert await served.get()
    task.cancel()
