"""`python -m bench [NAME …]`: run all benchmarks, or those named. Needs root, and the machine for itself."""

import sys
from importlib import import_module

from baremetal_lb.lab.requirements import extend_path

BENCHES = ("allocate", "assign", "arp", "failover", "liveness", "speaker_memory")


def main() -> None:
    names = sys.argv[1:] or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    extend_path()
    for name in names:
        import_module(f"bench.{name}").main()


main()
