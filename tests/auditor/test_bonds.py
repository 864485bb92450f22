"""The auditor finds a broken match that is paid before undelivered hours, or more than a tenth of a bond."""

import pytest
from msgspec.structs import replace

from events.bond import BondPaid
from events.order import LostMatch, OrderUnmatched
from events.registry import get_tag, render_body
from marketplace.auditor.bonds import Bonds
from marketplace.auditor.stream import Findings, Message
from tests.domain.billing.test_bond import FIRST, SECOND, WAITED, answer, claim, play, post
from tests.domain.build import LOT, id_of, usd


def audit(log):
    """Return what is found of ranks, with each event in an append of its own."""
    bonds = Bonds(Findings())
    for number, event in enumerate(log, 1):
        headers = {"ce-type": f"marketplace.{get_tag(event)}", "ce-time": WAITED.at.isoformat()}
        bonds.take([Message(number, "", headers, render_body(event))])
    return [text for _, _, text in bonds.findings.kept if "broken match" in text]


@pytest.mark.parametrize("lot_id", [None, LOT])
def test_a_bond_that_pays_a_broken_match_before_undelivered_hours_is_found(lot_id):
    lots = (LOT,) if lot_id else ()
    _, log = play(
        post(lot_id=lot_id),
        claim(1, 400, lots=lots, remedy="broken_match"),
        claim(2, 90, lots=lots),
        answer(),
        answer(claim_id=SECOND),
        WAITED,
        post(posting_id=id_of("pst", 2), lot_id=lot_id, amount_usd=usd(20), at=WAITED.at),
    )
    paid = [event for event in log if isinstance(event, BondPaid)]
    assert [event.claim_id for event in paid] == [SECOND, FIRST, FIRST]
    assert audit(log) == []
    amounts = {paid[0].payment_id: usd(45), paid[1].payment_id: usd(55)}
    shared = [
        replace(event, amount_usd=amounts.get(event.payment_id, usd(20))) if event in paid else event for event in log
    ]
    assert audit(shared) != []


def test_a_bond_of_which_broken_matches_take_more_than_a_tenth_is_found():
    _, log = play(post(), claim(1, 400, remedy="broken_match"), answer(), WAITED)
    assert [event.amount_usd for event in log if isinstance(event, BondPaid)] == [10]
    assert audit(log) == []
    assert audit([replace(one, amount_usd=usd("10.01")) if isinstance(one, BondPaid) else one for one in log]) != []


@pytest.mark.parametrize(("damages", "is_found"), [("3840.00", False), ("307.20", True), ("0", True)])
def test_a_broken_match_that_costs_less_than_the_end_of_its_grant_would_is_found(damages, is_found):
    order_id, auction_id, pool_id, party_id = (id_of(prefix, 1) for prefix in ("ord", "auc", "pol", "pty"))
    lost = LostMatch(
        provider_id=party_id,
        pool_id=pool_id,
        gpu_seconds=7_680 * 3_600,
        price_usd=usd(15_360),
        cause="nodes_failed",
        damages_usd=usd(damages),
    )
    texts = audit([OrderUnmatched(order_id=order_id, auction_id=auction_id, reasons=(), lost=lost)])
    assert any("the end of a grant owes" in text for text in texts) == is_found
