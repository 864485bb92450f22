"""The table of rights states the times that the deciders apply."""

from datetime import timedelta

import pytest

from marketplace.domain.billing import account_approvals, account_state, dispute, remedies
from marketplace.domain.delivery import periods
from marketplace.domain.equity import proposal
from marketplace.domain.equity.instrument import mfn
from marketplace.domain.equity.rights_beside_equity import BESIDE_EQUITY

TIMES = [
    ("mfn_window", mfn.EXTENSION_MAX, "days"),
    ("mfn_election", mfn.WINDOW, "days"),
    ("withdrawal", account_approvals.APPROVE_WITHIN, "hours"),
    ("mandate_order", proposal.DECIDE_WITHIN, "days"),
    ("statement", periods.ACCEPTANCE, "days"),
    ("undisputed", periods.ACCEPTANCE, "days"),
    ("concession", dispute.ANSWER, "days"),
    ("counter_offer", dispute.ANSWER, "days"),
    ("last_resort", dispute.REFERRAL, "days"),
    ("last_resort", dispute.DECISION, "days"),
    ("correction", periods.ACCEPTANCE, "days"),
    ("reserve", account_state.RESERVED_FOR, "days"),
    ("bond_claim", remedies.CLAIM_WITHIN, "days"),
    ("bond_claim", remedies.ANSWER_WITHIN, "hours"),
    ("bond_release", remedies.CLAIM_WITHIN, "days"),
]


@pytest.mark.parametrize(("name", "time", "unit"), TIMES)
def test_a_row_states_the_time_that_is_applied(name, time, unit):
    (row,) = [row for row in BESIDE_EQUITY if row.name == name]
    assert f"{time // timedelta(**{unit: 1})} {unit}" in " ".join(row)
