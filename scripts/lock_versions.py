"""Lock which source each version of a projection and of a snapshot stands for, in `tests/support/versions.json`.

    uv run python scripts/lock_versions.py                     after a version was counted up
    uv run python scripts/lock_versions.py --unchanged orders  the source changed, the rows that it makes did not

Says so and writes nothing where source changed and neither is so.
"""

import argparse
import sys

from tests.support.code_versions import LOCK, compute_versions, find_faults, load_lock, render_lock


def main() -> int:
    """Write the lock; 1 where source changed under a version that is locked."""
    now = compute_versions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(name.split(" ")[1] for name in now)
    parser.add_argument("--unchanged", nargs="+", default=[], metavar="NAME", choices=names)
    faults = list(find_faults(load_lock(), now, unchanged=parser.parse_args().unchanged))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        LOCK.write_text(render_lock(now), encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
