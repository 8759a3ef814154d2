"""The whole conversion: MetalLB's resources in, ours and a list of notes out.

The addresses of Services need no conversion. They stand in the Services' statuses, where the controller finds them and
takes them over, as long as a pool has them. What would stand in the way of that is said here, before anything is
switched.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from baremetal_lb.cluster.namespace import NamespaceView
from baremetal_lb.config.compile import compile_config
from baremetal_lb.config.model import Config
from baremetal_lb.config.problems import Problem
from baremetal_lb.migration.advertisements import ConvertedAdvertisement, announces_itself, convert_advertisements
from baremetal_lb.migration.configmap import read_config_map
from baremetal_lb.migration.names import name_all
from baremetal_lb.migration.notes import Note, Severity
from baremetal_lb.migration.pools import ConvertedPool, Manifest, convert_pools, without_leftovers
from baremetal_lb.migration.services import review_services
from baremetal_lb.migration.sources import Inventory, Source, take_stock

_GRAVITY = list(Severity)


@dataclass(frozen=True, slots=True)
class Migration:
    """What to apply, pools first, and what to know, the gravest first."""

    manifests: tuple[Manifest, ...]
    notes: tuple[Note, ...]


def migrate(documents: Iterable[object], load_balancer_class: str = "") -> Migration:
    """Convert raw documents; `load_balancer_class` is the one that MetalLB was started with (`--lb-class`)."""
    inventory = take_stock(documents)
    notes = [*inventory.notes, *_read_config_maps(inventory)]
    sources, leftovers = _pools_in_use(inventory)
    pools, about_pools = _convert_pools(sources, load_balancer_class)
    advertisements, about_advertisements = _convert_advertisements(inventory.l2_advertisements, pools)
    config, problems = compile_config(
        [pool.manifest for pool in pools], [advertisement.manifest for advertisement in advertisements]
    )
    notes += [*leftovers, *about_pools, *about_advertisements, *map(_from_problem, problems)]
    notes += [_unsupported(source) for source in inventory.bgp]
    notes += _unannounced(pools, advertisements)
    notes += _admitting_nobody(config, inventory.namespaces)
    notes += review_services(inventory.services, config, load_balancer_class)
    return Migration(
        (*(pool.manifest for pool in pools), *(one.manifest for one in advertisements)),
        tuple(sorted(notes, key=lambda note: _GRAVITY.index(note.severity))),
    )


def _read_config_maps(inventory: Inventory) -> Iterator[Note]:
    """Take up old configurations, unless there are resources: then no MetalLB reads them any more."""
    is_outdated = bool(inventory.pools or inventory.legacy_pools)
    for source in inventory.config_maps:
        if is_outdated:
            yield Note(Severity.INFO, str(source), "is left out: where there are resources, MetalLB does not read it")
            continue
        pools, bgp, notes = read_config_map(source)
        inventory.legacy_pools += pools
        inventory.bgp += bgp
        yield from notes


def _pools_in_use(inventory: Inventory) -> tuple[list[Source], list[Note]]:
    legacy, notes = without_leftovers(inventory.pools, inventory.legacy_pools)
    notes += [
        Note(Severity.ERROR, str(source), "spec.bgpAdvertisements: BGP is not supported yet; not converted")
        for source in legacy
        if source.spec.get("bgpAdvertisements")
    ]
    return [*inventory.pools, *legacy], notes


def _convert_pools(sources: Sequence[Source], load_balancer_class: str) -> tuple[list[ConvertedPool], list[Note]]:
    names, renamed = name_all(sources)
    pools, notes = convert_pools(sources, names, load_balancer_class)
    return pools, [*renamed, *notes]


def _convert_advertisements(
    l2_advertisements: Sequence[Source], pools: Sequence[ConvertedPool]
) -> tuple[list[ConvertedAdvertisement], list[Note]]:
    announcing = [pool.source for pool in pools if pool.is_legacy and announces_itself(pool.source)]
    sources = [*l2_advertisements, *announcing]
    names, renamed = name_all(sources)
    advertisements, notes = convert_advertisements(sources, names, pools)
    return advertisements, [*renamed, *notes]


def _from_problem(problem: Problem) -> Note:
    severity = Severity.ERROR if problem.fatal else Severity.WARNING
    return Note(severity, f"{problem.kind} {problem.name}", problem.message)


def _admitting_nobody(config: Config, namespaces: Sequence[NamespaceView]) -> Iterator[Note]:
    """Where the namespaces are known, name the pools that none of them may use."""
    for pool in config.pools:
        if namespaces and not any(pool.admission.admits_namespace(one.name, one.labels) for one in namespaces):
            text = (
                "no namespace meets its serviceAllocation, so it serves nobody. MetalLB serves every namespace in that "
                "case, where a Service asks for the pool or an address of it"
            )
            yield Note(Severity.WARNING, f"IPAddressPool {pool.name}", text)


def _unsupported(source: Source) -> Note:
    return Note(Severity.ERROR, str(source), "BGP is not supported yet; not converted")


def _unannounced(pools: Iterable[ConvertedPool], advertisements: Sequence[ConvertedAdvertisement]) -> Iterator[Note]:
    announced = frozenset[str]().union(*(one.pools for one in advertisements))
    for pool in pools:
        if pool.name not in announced:
            text = (
                "no L2Advertisement selects it, so nobody will answer for its addresses. If BGP announces them, its "
                "Services keep their addresses but can't be reached: stay with MetalLB until BGP is supported here"
            )
            yield Note(Severity.WARNING, str(pool.source), text)
