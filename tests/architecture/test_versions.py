"""Whoever changes source that makes rows or snapshots counts their version up, or locks that they do not change.

`scripts/lock_versions.py` writes what is compared here.
"""

import pytest

from tests.support.code_versions import (
    LOCK,
    Versioned,
    compute_versions,
    find_faults,
    load_lock,
    render_lock,
)

ORDERS = "projection orders"


def test_source_that_changes_rows_counts_the_version_up():
    now = compute_versions()
    assert list(find_faults(load_lock(), now)) == []
    assert LOCK.read_text() == render_lock(now), "run `uv run python scripts/lock_versions.py`"


@pytest.mark.parametrize(
    ("now", "unchanged", "fault"),
    [
        (Versioned(2, "a"), (), None),
        (Versioned(2, "b"), (), "rows may change. Count up its version from 2"),
        (Versioned(2, "b"), ("orders",), None),
        (Versioned(2, "b"), ("grants",), "lock_versions.py --unchanged orders"),
        (Versioned(3, "b"), (), None),
        (Versioned(3, "a"), (), None),
        (Versioned(1, "b"), ("orders",), "a version is never counted down"),
    ],
)
def test_what_may_be_locked(now, unchanged, fault):
    found = list(find_faults({ORDERS: Versioned(2, "a")}, {ORDERS: now}, unchanged=unchanged))
    assert len(found) == (fault is not None)
    assert fault is None or (fault in found[0] and found[0].startswith(ORDERS))


def test_a_new_projection_may_be_locked():
    assert list(find_faults({}, {ORDERS: Versioned(1, "a")})) == []
