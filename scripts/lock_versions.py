"""Record the source behind each version of a projection or snapshot, as a hash in `tests/support/versions.json`.

    uv run python scripts/lock_versions.py                     after a version was increased
    uv run python scripts/lock_versions.py --unchanged orders  the source changed, the rows that it makes did not

If source changed, its version did not, and `--unchanged` does not name it, the script prints that and writes nothing.
"""

import argparse
import sys

from tests.support.code_versions import LOCK, compute_versions, find_faults, load_lock, render_lock


def main() -> int:
    """Write the lock and return 0; return 1 if source changed under a locked version."""
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
