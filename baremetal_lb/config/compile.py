"""Custom resources as the API server has them -> one Config, and everything that is wrong with them.

A faulty object harms only itself: it is left out, the others work on. What comes out depends on the objects only,
never on their order, so every process sees the same Config.
"""

from collections.abc import Iterable

from baremetal_lb.config.compile_claims import compile_claims
from baremetal_lb.config.compile_l2 import compile_l2_advertisements
from baremetal_lb.config.compile_pools import compile_pools
from baremetal_lb.config.model import Config, Surroundings
from baremetal_lb.config.problems import Problem
from baremetal_lb.config.reading import RawObject, name_of

NOTHING_KNOWN = Surroundings()


def compile_config(
    pools: Iterable[RawObject],
    l2_advertisements: Iterable[RawObject],
    claims: Iterable[RawObject] = (),
    surroundings: Surroundings = NOTHING_KNOWN,
) -> tuple[Config, tuple[Problem, ...]]:
    """Compile all custom resources of the cluster; find all problems, not the first.

    Of pools that overlap, and of claims of one address, the one created first works.
    """
    raw_pools = sorted(pools, key=name_of)
    kept_pools, pool_problems = compile_pools(raw_pools, surroundings)
    advertisements, advertisement_problems = compile_l2_advertisements(
        sorted(l2_advertisements, key=name_of), kept_pools, existing=frozenset(map(name_of, raw_pools))
    )
    kept_claims, claim_problems = compile_claims(sorted(claims, key=name_of), surroundings.node_addresses)
    config = Config(
        pools=tuple(sorted(kept_pools, key=lambda pool: pool.rank)),
        l2_advertisements=tuple(advertisements),
        claims=tuple(kept_claims),
        node_addresses=surroundings.node_addresses,
    )
    return config, (*pool_problems, *advertisement_problems, *claim_problems)
