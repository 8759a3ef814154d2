"""Tells our own resources what became of them: conditions, a pool's counts, and the finalizer of a pool in use.

At most once a second for all of them, however many addresses are given meanwhile. A pool that Services hold addresses
of carries a finalizer: when it is deleted, that keeps it until the last of them is gone.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from baremetal_lb.addresses import Address, Family
from baremetal_lb.allocator.assigner import Assigner
from baremetal_lb.allocator.ledger import Usage
from baremetal_lb.allocator.quarantine import Conflicts, conflicts_in, quarantine
from baremetal_lb.api.base import GROUP, READY, VERSION
from baremetal_lb.api.claim import IPAddressClaim
from baremetal_lb.api.pool import IPAddressPool, QuarantinedAddress
from baremetal_lb.cluster.conditions import Condition, condition_of
from baremetal_lb.config.model import Claim, Config, Pool
from baremetal_lb.config.problems import Problem
from baremetal_lb.controller.api import ApiWriter
from baremetal_lb.controller.resource_loader import KINDS, Resources, collection_path
from baremetal_lb.events import GOOD_NEWS, Event, Subject
from baremetal_lb.kube.client import ApiError
from baremetal_lb.metrics import ControllerMetrics
from baremetal_lb.reasons import Reason
from baremetal_lb.settings import ControllerSettings
from baremetal_lb.status import (
    ADDRESS_CONFLICT,
    OVERLAPS_CLUSTER,
    claim_readiness,
    pool_conditions,
    readiness,
    resource_status,
)

IN_USE_FINALIZER = "baremetal-lb.io/in-use"

PATHS = {kind.__name__: collection_path(kind.names.plural) for kind in KINDS}

Usages = Mapping[Family, Usage]
Raw = Mapping[str, Any]

log = structlog.get_logger()


class ResourcePublisher:
    """Keeps the statuses of our resources true; `reload` is called where they turn out to have changed meanwhile."""

    def __init__(
        self,
        client: ApiWriter,
        assigner: Assigner,
        settings: ControllerSettings,
        metrics: ControllerMetrics,
        *,
        tell: Callable[[Event], None],
        reload: Callable[[], None],
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._ledger = assigner.ledger
        self._settings = settings
        self._metrics = metrics
        self._tell = tell
        self._reload = reload
        self._dirty = asyncio.Event()
        self._objects: dict[tuple[str, str], Raw] = {}
        self._problems: dict[tuple[str, str], list[Problem]] = {}
        self._config = Config()
        self._claims: dict[str, Claim] = {}
        self._conflicts: Conflicts = {}

    def take(self, resources: Resources) -> None:
        """Publish for these resources from now on."""
        self._objects = {
            (kind, raw["metadata"]["name"]): raw for kind, objects in resources.raw.items() for raw in objects
        }
        problems: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
        for problem in resources.problems:
            problems[problem.kind, problem.name].append(problem)
        self._problems = dict(problems)
        self._config = resources.config
        self._claims = {claim.name: claim for claim in resources.config.claims}
        self._count_problems(resources)
        self.mark_dirty()

    def take_conflicts(self, conflicts: Conflicts) -> None:
        """Publish that these foreign hosts use addresses of ours, and keep what is quarantined for it."""
        self._conflicts = conflicts
        self.mark_dirty()

    def mark_dirty(self) -> None:
        """Have everything compared, and what differs written."""
        self._dirty.set()

    async def run(self, ledger_known: asyncio.Event) -> None:
        """Publish for ever, once it is known who holds what."""
        await ledger_known.wait()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._measure()
            for key in list(self._objects):
                await self._publish(key)
            await asyncio.sleep(self._settings.publish_seconds)

    async def _publish(self, key: tuple[str, str]) -> None:
        kind, name = key
        try:
            if kind == IPAddressPool.__name__:
                await self._publish_finalizer(key)
            raw = self._objects.get(key)
            patch = raw and self._status_patch(key, raw)
            if raw and patch:
                self._objects[key] = await self._client.patch(f"{PATHS[kind]}/{name}/status", patch)
                self._metrics.writes.labels("resource", "ok").inc()
                self._report(kind, raw, patch)
        except ApiError as error:
            self._metrics.writes.labels("resource", error.reason).inc()
            if error.status not in {404, 409}:
                log.warning("resource not told", kind=kind, name=name, error=str(error))
            self._reload()

    def _status_patch(self, key: tuple[str, str], raw: Raw) -> dict[str, Any] | None:
        now = datetime.now(UTC)
        quarantined = self._quarantined(key, raw, now)
        return resource_status(raw, self._conditions(key, raw), self._usages(key), now, quarantined)

    def _quarantined(self, key: tuple[str, str], raw: Raw, now: datetime) -> tuple[QuarantinedAddress, ...]:
        """What is to be in quarantine; of a pool that is not in force, nothing."""
        pool = self._pool(key)
        if pool is None:
            return ()
        entries = (raw.get("status") or {}).get("quarantined") or ()
        present = [QuarantinedAddress.model_validate(one) for one in entries]
        return quarantine(pool, present, self._conflicts, now, seconds=self._settings.quarantine_seconds)

    def _conditions(self, key: tuple[str, str], raw: Raw) -> Collection[Condition]:
        kind, name = key
        problems = self._problems.get(key, ())
        if kind == IPAddressPool.__name__:
            is_deleting = "deletionTimestamp" in raw["metadata"]
            pool = self._pool(key)
            conflicts = conflicts_in(pool, self._conflicts) if pool else {}
            return pool_conditions(problems, self._usages(key), is_deleting=is_deleting, conflicts=conflicts)
        claim = self._claims.get(name) if kind == IPAddressClaim.__name__ else None
        if claim is None:
            return (readiness(problems),)
        return (claim_readiness(claim, problems, self._ledger.holders_of, self._is_given),)

    def _is_given(self, address: Address) -> bool:
        pool = self._config.pool_of(address)
        return pool is not None and pool.usable(address)

    async def _publish_finalizer(self, key: tuple[str, str]) -> None:
        raw = self._objects[key]
        metadata = raw["metadata"]
        present = metadata.get("finalizers") or []
        wanted = self._wanted_finalizers(key, present, is_deleting="deletionTimestamp" in metadata)
        if wanted == present:
            return
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": wanted}}
        answer = await self._client.patch(f"{PATHS[key[0]]}/{key[1]}", patch)
        self._metrics.writes.labels("resource", "ok").inc()
        if "deletionTimestamp" in metadata and not wanted:
            del self._objects[key]
        else:
            self._objects[key] = answer

    def _wanted_finalizers(self, key: tuple[str, str], present: list[str], *, is_deleting: bool) -> list[str]:
        """Ours is there while the pool is used. None can be added to a pool that is being deleted already."""
        others = [one for one in present if one != IN_USE_FINALIZER]
        usages = self._usages(key)
        if any(usage.assigned for usage in usages.values()):
            return present if is_deleting or IN_USE_FINALIZER in present else [*present, IN_USE_FINALIZER]
        is_in_force = bool(usages)
        return others if is_in_force or is_deleting else present

    def _pool(self, key: tuple[str, str]) -> Pool | None:
        """The pool, if it is one and in force."""
        kind, name = key
        return self._ledger.pools.named(name) if kind == IPAddressPool.__name__ else None

    def _usages(self, key: tuple[str, str]) -> Usages:
        """The counts of a pool that is in force."""
        pool = self._pool(key)
        if pool is None:
            return {}
        return {family: self._ledger.usage(pool, family) for family in Family}

    def _report(self, kind: str, before: Raw, patch: Mapping[str, Any]) -> None:
        """Say in the log and in Events which of our conditions say something else now."""
        metadata = before["metadata"]
        for aspect in (READY, OVERLAPS_CLUSTER, ADDRESS_CONFLICT):
            old = condition_of(before, aspect)
            new = condition_of(patch, aspect)
            if not new or (old.get("reason"), old.get("message")) == (new["reason"], new["message"]):
                continue
            log.info("resource judged", kind=kind, name=metadata["name"], reason=new["reason"], message=new["message"])
            if old or new["reason"] not in GOOD_NEWS:
                subject = Subject(f"{GROUP}/{VERSION}", kind, "", metadata["name"], metadata.get("uid", ""))
                self._tell(Event(subject, Reason(new["reason"]), new["message"]))

    def _measure(self) -> None:
        gauges = {
            "total": self._metrics.pool_addresses_total,
            "assigned": self._metrics.pool_addresses_assigned,
            "reserved": self._metrics.pool_addresses_reserved,
            "available": self._metrics.pool_addresses_available,
            "quarantined": self._metrics.pool_addresses_quarantined,
        }
        for gauge in gauges.values():
            gauge.clear()
        for pool in self._ledger.pools.pools:
            for family in Family:
                usage = self._ledger.usage(pool, family)
                for name, gauge in gauges.items():
                    gauge.labels(pool.name, family).set(getattr(usage, name))

        self._metrics.services.clear()
        for reason, count in self._assigner.count_reasons().items():
            self._metrics.services.labels(reason).set(count)

    def _count_problems(self, resources: Resources) -> None:
        self._metrics.config_problems.clear()
        for (kind, reason), count in Counter((one.kind, one.reason) for one in resources.problems).items():
            self._metrics.config_problems.labels(kind, reason).set(count)
