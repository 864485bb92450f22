"""What is wrong with a body is said with what is right."""

import pytest

from marketplace.api.http.bodies.delivery import DisputeStatementBody
from marketplace.api.http.body_faults import find_faults


@pytest.mark.parametrize("evidence", ["reading-7", 7, ["reading-7"]])
def test_what_is_no_object_is_told_the_members_that_it_needs(evidence):
    [fault] = find_faults(
        DisputeStatementBody, {"gpu_seconds_counted": 1, "reason": "too much", "evidence": [evidence]}
    )
    assert fault.pointer == "/evidence/0"
    assert fault.detail.startswith("Expected an object, got ")
    assert fault.detail.endswith("; state its kind, reference")
