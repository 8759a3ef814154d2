"""For any pools and Services: what is explained is what is decided."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from hypothesis import assume, given
from hypothesis import strategies as st

from baremetal_lb.addresses import Address, AddressRange, Family, family_of
from baremetal_lb.allocator.allocate import Allocation, allocate
from baremetal_lb.allocator.explain import FamilyExplanation, explain_families
from baremetal_lb.allocator.ledger import Ledger
from baremetal_lb.allocator.pools import Applicant
from baremetal_lb.allocator.request import AllocationRequest, Refusal
from baremetal_lb.allocator.sharing import Sharing
from baremetal_lb.api.pool import AllocationOrder
from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.cluster.service import Port, ServiceKey
from baremetal_lb.config.model import Admission, Claim, Config, Pool
from baremetal_lb.reasons import Reason

WEB = ServiceKey("shop", "web")
OTHERS = [ServiceKey(namespace, f"other{number}") for namespace in ("shop", "bank") for number in range(3)]
BLOCKS = [
    (AddressRange.parse(f"192.0.2.{16 * n}/31"), AddressRange.parse(f"2001:db8:{n:x}::/127")) for n in range(1, 5)
]
ADDRESSES = [address for blocks in BLOCKS for block in blocks for address in block.addresses()]
STRANGER = ip_address("10.0.0.1")
FREE_TO_COULD_SERVE = {Reason.COULD_SERVE, Reason.ASSIGNED, Reason.ADDRESS_KEPT}

Draw = st.DrawFn


@st.composite
def pools(draw: Draw) -> tuple[Pool, ...]:
    return tuple(
        Pool(
            f"pool{number}",
            draw(st.sampled_from([blocks, blocks[:1], blocks[1:]])),
            excluded=draw(st.sampled_from([(), (AddressRange(blocks[0].first, blocks[0].first),)])),
            auto_assign=draw(st.sampled_from([True, True, False])),
            deleting=draw(st.sampled_from([False, False, True])),
            order=draw(st.sampled_from(AllocationOrder)),
            is_for_some=draw(st.booleans()),
            priority=draw(st.integers(0, 2)),
            admission=draw(st.sampled_from([Admission(), Admission(), Admission(frozenset({"bank"}))])),
            exclusive=draw(st.sampled_from([False, False, True])),
            namespace_quota=draw(st.sampled_from([None, None, 0, 1])),
        )
        for number, blocks in enumerate(draw(st.permutations(BLOCKS))[: draw(st.integers(0, len(BLOCKS)))])
    )


@st.composite
def ledgers(draw: Draw) -> Ledger:
    ledger = Ledger()
    claimed = draw(st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=3))
    claims = tuple(
        Claim(f"claim{number}", (address,), draw(st.sampled_from([WEB, OTHERS[0], None])))
        for number, address in enumerate(claimed)
    )
    ledger.configure(Config(tuple(sorted(draw(pools()), key=lambda pool: pool.rank)), claims=claims))
    taken = draw(st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=12))
    for other, addresses in zip(OTHERS, (taken[place::6] for place in range(6)), strict=True):
        ledger.hold(other, addresses, Sharing("k", other.namespace, ports=frozenset({Port("TCP", 443)})))
    return ledger


@st.composite
def applicants(draw: Draw) -> Applicant:
    families = draw(
        st.sampled_from([(Family.IPV4,), (Family.IPV6,), (Family.IPV4, Family.IPV6), (Family.IPV6, Family.IPV4)])
    )
    few = st.lists(st.sampled_from([*ADDRESSES, STRANGER]), unique=True, max_size=3)
    wanted = [one for one in draw(st.one_of(st.just([]), few)) if family_of(one) in families]
    request = AllocationRequest(
        WEB,
        families,
        needs_all=draw(st.booleans()),
        wanted=by_family(wanted),
        pool=draw(st.sampled_from([None, None, "pool0", "pool1", "none"])),
        uid="uid",
        sharing=draw(st.sampled_from([Sharing(), Sharing("k", "shop", ports=frozenset({Port("TCP", 80)}))])),
    )
    return Applicant(request, NamespaceView("shop", quota=draw(st.sampled_from([None, None, 1]))))


def by_family(addresses: list[Address]) -> Mapping[Family, tuple[Address, ...]]:
    return {family: some for family in Family if (some := tuple(one for one in addresses if family_of(one) is family))}


@st.composite
def currents(draw: Draw) -> Mapping[Family, tuple[Address, ...]]:
    return by_family(draw(st.lists(st.sampled_from([*ADDRESSES, STRANGER]), unique_by=family_of, max_size=2)))


def taken(family: FamilyExplanation) -> set[str]:
    return {verdict.pool for verdict in family.verdicts if verdict.is_taken}


@given(ledgers(), applicants(), currents())
def test_the_pool_that_is_marked_is_the_one_that_gives(
    ledger: Ledger, applicant: Applicant, current: Mapping[Family, tuple[Address, ...]]
) -> None:
    held = [address for addresses in current.values() for address in addresses]
    assume(all(ledger.is_open_to(WEB, address, applicant.request.sharing) for address in held))
    ledger.hold(WEB, held, applicant.request.sharing)

    outcome = allocate(applicant, current, ledger)
    explained = explain_families(applicant, current, ledger, outcome)

    assert tuple(one.family for one in explained) == applicant.request.families
    for one in explained:
        assert [verdict.pool for verdict in one.verdicts] == [pool.name for pool in ledger.pools.pools]
        given_ones = outcome.addresses if isinstance(outcome, Allocation) else ()
        addresses = [address for address in given_ones if family_of(address) is one.family]
        if addresses:
            assert taken(one) == {pool.name for address in addresses if (pool := ledger.pools.holding(address))}
        elif one.refusal:
            assert not taken(one)
        for verdict in one.verdicts:
            assert not verdict.is_taken or verdict.reason in FREE_TO_COULD_SERVE


@given(ledgers(), applicants(), st.data())
def test_a_pool_that_could_serve_does_when_it_is_the_only_one(
    ledger: Ledger, applicant: Applicant, data: st.DataObject
) -> None:
    """And one that is said to have nothing has nothing."""
    request = replace(
        applicant.request, families=(data.draw(st.sampled_from(Family)),), wanted={}, pool=None, sharing=Sharing()
    )
    applicant = replace(applicant, request=request)
    assume(not ledger.claimed_for(WEB, request.families[0]))
    (explained,) = explain_families(applicant, {}, ledger, allocate(applicant, {}, ledger))
    for verdict in explained.verdicts:
        alone = replace(applicant, request=replace(request, pool=verdict.pool))
        answer = allocate(alone, {}, ledger)
        if verdict.reason in FREE_TO_COULD_SERVE:
            assert isinstance(answer, Allocation), verdict
        elif verdict.reason is not Reason.NO_POOL_AUTO_ASSIGNS:
            assert isinstance(answer, Refusal)
            assert answer.reason is verdict.reason
            assert verdict.message in answer.message
