"""Mandates: rules, budget held, committed and freed."""

from datetime import date, timedelta

import pytest
from msgspec.structs import replace

from events.mandate import (
    EndedHold,
    MandateAmended,
    MandateBudgetCaptured,
    MandateBudgetHeld,
    MandateBudgetReleased,
    MandateGranted,
    MandateOrderApproved,
    MandateOrderRefused,
    MandateRevoked,
)
from events.types import MaturityConversion, NoteTerms, StockTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.instants import render_instant
from marketplace.domain.trading.mandate import (
    MANDATE,
    AmendMandate,
    ApproveOrder,
    Matched,
    RefuseOrder,
    RevokeMandate,
)
from marketplace.domain.trading.mandate_ends import require_over
from marketplace.domain.trading.mandate_rules import OfferedPrice
from tests.domain import build
from tests.domain.build import (
    GRANT,
    HOLD,
    INFINITY,
    ISSUER,
    NAIVE,
    NAN,
    ORDER,
    Row,
    capture_budget,
    hold_budget,
    hour,
    id_of,
    mandate_terms,
    release_budget,
    safe,
    usd,
)
from tests.support.spec import Given

HOLD_2, GRANT_2, ISSUER_2 = id_of("hld", 2), id_of("grt", 2), id_of("iss", 2)


def grant(**changes):
    return build.grant_mandate(terms=mandate_terms(**changes))


def granted(**changes):
    terms = mandate_terms(**changes)
    return MandateGranted(mandate_id=build.MANDATE, holder_id=build.FUND, funding="cash", terms=terms)


def amend(**changes):
    return AmendMandate(mandate_id=build.MANDATE, terms=mandate_terms(**changes))


def amended(**changes):
    return MandateAmended(mandate_id=build.MANDATE, terms=mandate_terms(**changes))


def held(hold_id=HOLD, issuer_id=ISSUER, amount=400, **more):
    return MandateBudgetHeld(
        mandate_id=build.MANDATE,
        hold_id=hold_id,
        order_id=ORDER,
        issuer_id=issuer_id,
        amount_usd=usd(amount),
        **{
            "sector": "biotech",
            "until": None if more.get("direct") else hour(14 * 24),
            "amount_usd_max": None if more.get("direct") else usd(600),
            **more,
        },
    )


def warrant(**changes):
    terms = WarrantTerms(
        class_id="common",
        price_usd_per_share=usd("0.02"),
        exercise_price_usd=usd("0.01"),
        expires_at=build.NOW + timedelta(days=365),
    )
    return replace(terms, **changes)


def note(**changes):
    terms = NoteTerms(
        annual_rate=usd("0.1"),
        interest="simple",
        day_count="actual_365",
        matures_on=build.NOW.date() + timedelta(days=365),
        valuation_cap_usd=usd(20_000_000),
    )
    return replace(terms, **changes)


def hold_warrant(**changes):
    return hold_budget(instrument=warrant(**changes), implied_cap_usd=usd(20_000_000))


def released(amount, hold_id=HOLD):
    return MandateBudgetReleased(
        mandate_id=build.MANDATE, hold_id=hold_id, amount_usd=usd(amount), reason="not matched"
    )


REVOKE = RevokeMandate(mandate_id=build.MANDATE, reason="fund closed")
GRANTED, HELD = granted(), held()
REVOKED = MandateRevoked(mandate_id=build.MANDATE, reason="fund closed")
CAPTURED = MandateBudgetCaptured(mandate_id=build.MANDATE, hold_id=HOLD, grant_id=GRANT, amount_usd=usd(300))
COMMITTED = (
    held(gpu_classes=("H100_SXM", "B200_SXM")),
    held(hold_id=HOLD_2, issuer_id=ISSUER_2, gpu_classes=("H200_SXM",)),
    replace(CAPTURED, gpu_class="H100_SXM"),
)
POST_MONEY = granted(post_money_only=True)
ONLY_NOTES = granted(instrument_kinds=("convertible_note",))
ENDED = granted(expires_at=build.NOW)
ANY_CAP = granted(valuation_cap_usd_min=None, valuation_cap_usd_max=None)
ANY_WARRANT = {"instrument_kinds": ("warrant",), "expires_at": None}
WARRANTS = granted(**ANY_WARRANT)
NOTES = granted(instrument_kinds=("convertible_note",), expires_at=None)
LATE = build.NOW.date() + timedelta(days=1_097)
OF_A_THOUSAND_SHARES = MaturityConversion(
    class_id="common", capitalization_definition="outstanding", share_rounding="floor"
)
DIRECT = (granted(direct_budget_usd=usd(500)), held(direct=True))
LISTED = granted(list_price_multiple_max=usd("1.5"), pricelist_id=id_of("prl"))
CAREFUL = granted(approval_above_usd=usd(399))
WAITING = (CAREFUL, held(needs_approval=True, instrument=safe()))
APPROVE = ApproveOrder(mandate_id=build.MANDATE, hold_id=HOLD)
REFUSE = RefuseOrder(mandate_id=build.MANDATE, hold_id=HOLD, reason="not now")
APPROVED = MandateOrderApproved(mandate_id=build.MANDATE, hold_id=HOLD, order_id=ORDER)
REFUSED = MandateOrderRefused(
    mandate_id=build.MANDATE, hold_id=HOLD, order_id=ORDER, amount_usd=usd(400), reason="not now"
)
BARRED = replace(REFUSED, barred_until=build.NOW + timedelta(days=7))


def priced(price, gpu_class="H100_SXM", listed=None):
    return (OfferedPrice(gpu_class, usd(price), None if listed is None else usd(listed)),)


def matched(*, hold_id=HOLD, **changes):
    asked = {"issuer_id": ISSUER, "instrument": safe(), "sector": "biotech", "stage": None, "at": build.NOW}
    asked |= {"implied_cap_usd": None, "prices": (), **changes}
    return capture_budget(hold_id=hold_id, matched=Matched(**asked))


STOCK = (granted(instrument_kinds=("stock",)), held(implied_cap_usd=usd(10_000_000)))


def matched_stock(cap):
    terms = StockTerms(class_id="common", price_usd_per_share=usd("0.19"))
    return matched(instrument=terms, implied_cap_usd=usd(cap))


REFUSALS = [
    Row("mandate_unknown", (), REVOKE),
    Row("mandate_exists", (GRANTED,), grant(budget_usd=usd(999))),
    Row("hold_exists", (GRANTED, HELD), hold_budget(amount_usd=usd(401))),
    Row("hold_exists", (GRANTED, HELD), hold_budget(issuer_id=ISSUER_2)),
    Row("hold_unknown", (GRANTED,), capture_budget()),
    Row("hold_unknown", (GRANTED, HELD), release_budget(hold_id=HOLD_2)),
    Row("instrument_kinds_missing", (), grant(instrument_kinds=()), "/terms/instrument_kinds"),
    Row("not_a_number", (), grant(equity_credit=NAN), "/terms/equity_credit"),
    Row("not_a_number", (), grant(budget_usd=INFINITY), "/terms/budget_usd"),
    Row("not_a_number", (GRANTED,), hold_budget(amount_usd=NAN), "/amount_usd"),
    Row("not_a_number", (GRANTED, HELD), capture_budget(amount_usd=NAN), "/amount_usd"),
    Row("not_a_number", (GRANTED, HELD), release_budget(keep_usd=NAN), "/keep_usd"),
    Row("amount_not_positive", (), grant(issuer_usd_max=usd(0)), "/terms/issuer_usd_max"),
    Row("amount_not_positive", (GRANTED,), hold_budget(amount_usd=usd(-1)), "/amount_usd"),
    Row("amount_not_positive", (GRANTED, HELD), capture_budget(amount_usd=usd(-1)), "/amount_usd"),
    Row("amount_not_positive", (GRANTED, HELD), release_budget(keep_usd=usd(-1)), "/keep_usd"),
    Row("amount_too_large", (), grant(equity_credit=usd("1.01")), "/terms/equity_credit"),
    Row("amount_too_large", (), grant(vendor_share_max=usd("1.01")), "/terms/vendor_share_max"),
    Row("amount_too_large", (), grant(generation_share_max=usd("1.01")), "/terms/generation_share_max"),
    Row("amount_too_precise", (), grant(valuation_cap_usd_min=usd("1.001")), "/terms/valuation_cap_usd_min"),
    Row("holder_is_issuer", (GRANTED,), hold_budget(issuer_id=rename_id("iss", GRANTED.holder_id))),
    Row("issuer_above_budget", (), grant(issuer_usd_max=usd(1_001)), "/terms/issuer_usd_max"),
    Row("pricelist_missing", (), grant(list_price_multiple_max=usd(2)), "/terms/pricelist_id"),
    Row("pricelist_missing", (), grant(pricelist_id=id_of("prl")), "/terms/pricelist_id"),
    Row("cap_range_empty", (), grant(valuation_cap_usd_max=usd(4_999_999)), "/terms/valuation_cap_usd_max"),
    Row("cap_range_empty", (), grant(valuation_cap_usd_min=usd(10**9 + 1), valuation_cap_usd_max=None)),
    Row("discount_range_empty", (), grant(discount_min=usd("0.3"), discount_max=usd("0.2")), "/terms/discount_max"),
    Row("strike_range_empty", (), grant(strike_usd_min=usd(2), strike_usd_max=usd(1)), "/terms/strike_usd_max"),
    Row("note_days_empty", (), grant(note_days_max=90), "/terms/note_days_max"),
    Row("time_naive", (), grant(expires_at=NAIVE), "/terms/expires_at"),
    Row("mandate_revoked", (GRANTED, REVOKED), hold_budget()),
    Row("mandate_revoked", (GRANTED, REVOKED), amend(budget_usd=usd(2_000))),
    Row("mandate_revoked", (GRANTED, HELD, REVOKED), matched()),
    Row("mandate_revoked", (*WAITING, REVOKED), APPROVE),
    Row("mandate_expired", (GRANTED,), hold_budget(at=hour(1_000))),
    Row("instrument_kind_unwelcome", (ONLY_NOTES,), hold_budget()),
    Row("instrument_kind_unwelcome", (POST_MONEY,), hold_budget(instrument=safe(conversion_timing="pre_money"))),
    Row("uncapped_unwelcome", (GRANTED,), hold_budget(instrument=safe(valuation_cap_usd=None))),
    Row("uncapped_unwelcome", (ANY_CAP,), hold_budget(instrument=safe(valuation_cap_usd=None))),
    Row("cap_outside_range", (GRANTED,), hold_budget(instrument=safe(valuation_cap_usd=usd(4_999_999)))),
    Row("cap_outside_range", (GRANTED,), hold_budget(instrument=safe(valuation_cap_usd=usd(50_000_001)))),
    Row("cap_outside_range", (ANY_CAP,), hold_budget(instrument=safe(valuation_cap_usd=usd(900 * 10**9)))),
    Row("cap_outside_range", (ANY_CAP,), hold_budget(instrument=safe(valuation_cap_usd=usd(100_000_001)))),
    Row("discount_outside_range", (granted(discount_min=usd("0.21")),), hold_budget()),
    Row("discount_outside_range", (granted(discount_max=usd("0.19")),), hold_budget()),
    Row("discount_outside_range", (granted(discount_min=usd("0.1")),), hold_budget(instrument=safe(discount=None))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(matures_on=date(9999, 1, 1)))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(at_maturity=OF_A_THOUSAND_SHARES))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(annual_rate=usd(0)))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(annual_rate=usd("0.0399")))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(matures_on=LATE))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(matures_on=build.NOW.date()))),
    Row("note_unwelcome", (NOTES,), hold_budget(instrument=note(matures_on=build.NOW.date() + timedelta(days=364)))),
    Row("strike_outside_range", (WARRANTS,), hold_warrant(exercise_price_usd=usd("89.98"))),
    Row("strike_outside_range", (granted(**ANY_WARRANT, strike_usd_min=usd("0.02")),), hold_warrant()),
    Row("warrant_too_brief", (WARRANTS,), hold_warrant(expires_at=build.NOW + timedelta(days=1))),
    Row("issuer_unwelcome", (granted(issuer_ids=(ISSUER_2,)),), hold_budget()),
    Row("sector_unwelcome", (GRANTED,), hold_budget(sector="gaming")),
    Row("sector_unwelcome", (GRANTED,), hold_budget(sector=None)),
    Row("stage_unwelcome", (granted(stages=("seed", "series_a")),), hold_budget(stage="growth")),
    Row("stage_unwelcome", (granted(stages=("seed",)),), hold_budget()),
    Row("vendor_unwelcome", (granted(gpu_vendors=("amd",)),), hold_budget(prices=priced(3))),
    Row("list_price_missing", (LISTED,), hold_budget(prices=priced(3))),
    Row("price_above_mandate", (granted(usd_per_gpu_hour_max=usd(3)),), hold_budget(prices=priced("3.01"))),
    Row("price_above_mandate", (LISTED,), hold_budget(prices=priced("3.01", listed=2))),
    Row("price_above_mandate", (GRANTED,), hold_budget(prices=priced("100.01"))),
    Row("price_above_mandate", (GRANTED, HELD, amended(usd_per_gpu_hour_max=usd(3))), matched(prices=priced("3.01"))),
    Row("issuer_unwelcome", (*WAITING, BARRED), hold_budget(hold_id=HOLD_2)),
    Row(
        "issuer_unwelcome",
        (*WAITING, BARRED),
        hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, related_ids=frozenset({ISSUER})),
    ),
    Row("related_unwelcome", (GRANTED, HELD), matched(related=True)),
    Row("diluted_since", STOCK, matched_stock("10500000.01")),
    Row("approval_missing", WAITING, matched()),
    Row("approval_missing", (*WAITING, REFUSED), matched()),
    Row("approval_unneeded", (GRANTED, HELD), APPROVE),
    Row("approval_unneeded", (*WAITING, REFUSED), APPROVE),
    Row("hold_committed", (GRANTED, HELD, CAPTURED), REFUSE),
    Row(
        "budget_below_committed",
        (GRANTED, HELD),
        amend(budget_usd=usd(399), issuer_usd_max=usd(399)),
        "/terms/budget_usd",
    ),
    Row("direct_cash_unwelcome", (GRANTED,), hold_budget(direct=True, amount_usd=usd(1))),
    Row("direct_budget_exhausted", DIRECT, hold_budget(hold_id=HOLD_2, direct=True, amount_usd=usd("100.01"))),
    Row("budget_exhausted", (GRANTED,), hold_budget(amount_usd=usd(1_001))),
    Row("budget_exhausted", (GRANTED, HELD), hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, amount_usd=usd(601))),
    Row("issuer_maximum_reached", (GRANTED,), hold_budget(amount_usd=usd(601))),
    Row("issuer_maximum_reached", (GRANTED, HELD), hold_budget(hold_id=HOLD_2, amount_usd=usd(201))),
    Row(
        "sector_maximum_reached",
        (granted(sector_usd_max=usd(700)), HELD),
        hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, amount_usd=usd("300.01")),
    ),
    Row(
        "vendor_maximum_reached",
        (granted(vendor_share_max=usd("0.7")), held(gpu_classes=("B200_SXM",))),
        hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, amount_usd=usd("300.01"), prices=priced(3)),
    ),
    Row(
        "vendor_maximum_reached",
        (granted(vendor_share_max=usd("0.7")), held(gpu_classes=("B200_SXM",))),
        hold_budget(
            hold_id=HOLD_2,
            issuer_id=ISSUER_2,
            amount_usd=usd("300.01"),
            prices=(*priced(3, "MI300X"), *priced(3, "H100_SXM")),
        ),
    ),
    Row(
        "vendor_maximum_reached",
        (GRANTED, held(gpu_classes=("H100_SXM",)), amended(vendor_share_max=usd("0.29"))),
        matched(prices=priced(3)),
    ),
    Row(
        "generation_maximum_reached",
        (granted(generation_share_max=usd("0.5")), held(gpu_classes=("H200_SXM", "MI300X"))),
        hold_budget(hold_id=HOLD_2, amount_usd=usd("100.01"), prices=priced(3)),
    ),
    Row(
        "generation_maximum_reached",
        (granted(generation_share_max=usd("0.5")),),
        hold_budget(amount_usd=usd("500.01"), prices=priced(3)),
    ),
    Row(
        "generation_maximum_reached",
        (GRANTED, *COMMITTED, amended(generation_share_max=usd("0.59"))),
        matched(hold_id=HOLD_2, issuer_id=ISSUER_2, prices=priced(3)),
    ),
    Row("capture_above_hold", (GRANTED, HELD), capture_budget(amount_usd=usd("400.01"))),
    Row("capture_above_hold", (GRANTED, HELD, CAPTURED), capture_budget(grant_id=GRANT_2, amount_usd=usd(1))),
    Row("release_above_hold", (GRANTED, HELD), release_budget(keep_usd=usd("400.01"))),
]
PRECEDENCE = [
    Row("mandate_unknown", (), hold_budget(amount_usd=NAN)),
    Row("mandate_exists", (GRANTED,), grant(instrument_kinds=())),
    Row("hold_exists", (GRANTED, HELD, REVOKED), hold_budget(amount_usd=NAN)),
    Row("hold_unknown", (GRANTED,), capture_budget(amount_usd=NAN)),
    Row("instrument_kinds_missing", (), grant(instrument_kinds=(), equity_credit=NAN)),
    Row("not_a_number", (), grant(equity_credit=NAN, issuer_usd_max=usd(1_001))),
    Row("holder_is_issuer", (GRANTED, REVOKED), hold_budget(issuer_id=rename_id("iss", GRANTED.holder_id))),
    Row("issuer_above_budget", (), grant(issuer_usd_max=usd(1_001), valuation_cap_usd_max=usd(1))),
    Row("cap_range_empty", (), grant(valuation_cap_usd_max=usd(1), expires_at=NAIVE)),
    Row("time_naive", (GRANTED, REVOKED), amend(expires_at=NAIVE)),
    Row("mandate_revoked", (ENDED, REVOKED), hold_budget()),
    Row("mandate_revoked", (GRANTED, HELD, REVOKED), amend(budget_usd=usd(1), issuer_usd_max=usd(1))),
    Row("mandate_expired", (granted(instrument_kinds=("stock",), expires_at=build.NOW),), hold_budget()),
    Row("instrument_kind_unwelcome", (ONLY_NOTES,), hold_budget(instrument=safe(valuation_cap_usd=None))),
    Row("uncapped_unwelcome", (GRANTED,), hold_budget(instrument=safe(valuation_cap_usd=None), sector=None)),
    Row("sector_unwelcome", (GRANTED,), hold_budget(sector=None, amount_usd=usd(1_001))),
    Row("sector_unwelcome", (*WAITING, BARRED), hold_budget(hold_id=HOLD_2, sector=None)),
    Row("issuer_unwelcome", (*WAITING, BARRED), hold_budget(hold_id=HOLD_2, amount_usd=usd(1_001))),
    Row("budget_exhausted", (GRANTED,), hold_budget(amount_usd=usd(1_001))),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(MANDATE, row)


def test_grants():
    Given(MANDATE).when(build.grant_mandate()).then(GRANTED)


def test_granting_again_changes_nothing_whatever_happened_since():
    Given(MANDATE, GRANTED, HELD, REVOKED).when(build.grant_mandate()).then_nothing()


def test_amends_down_to_what_is_committed_and_what_open_orders_may_hold_at_most():
    """The most does not depend on what they hold, which the holder could find by trying."""
    alone = replace(CAPTURED, amount_usd=usd(400))
    for given, least in (
        ((HELD,), 600),
        ((held(amount=1),), 600),
        ((HELD, held(hold_id=HOLD_2, amount=200)), 600),
        ((HELD, CAPTURED, released(100)), 300),
        ((HELD, CAPTURED, released(100), held(hold_id=HOLD_2, issuer_id=ISSUER_2)), 900),
        ((HELD, held(hold_id=HOLD_2, issuer_id=ISSUER_2)), 1_000),
        ((HELD, amended(issuer_usd_max=usd(400))), 600),
        ((HELD, held(hold_id=HOLD_2, issuer_id=ISSUER_2), alone), 1_000),
        ((HELD, released(400)), 400),
    ):
        command = amend(budget_usd=usd(least), issuer_usd_max=usd(300))
        Given(MANDATE, GRANTED, *given).when(command).then(
            MandateAmended(mandate_id=build.MANDATE, terms=command.terms)
        )
        if least == 400:
            continue
        less = amend(budget_usd=usd(least - 1), issuer_usd_max=usd(299))
        with pytest.raises(Refusal, match=f"{least} of the budget"):
            MANDATE.decide(less, MANDATE.fold([GRANTED, *given]))


def test_a_lowered_issuer_maximum_keeps_what_is_held_and_lets_nothing_more_in():
    amended = MandateAmended(mandate_id=build.MANDATE, terms=mandate_terms(issuer_usd_max=usd(100)))
    Given(MANDATE, GRANTED, HELD).when(amend(issuer_usd_max=usd(100))).then(amended)
    more = hold_budget(hold_id=HOLD_2, amount_usd=usd("0.01"))
    refusal = Given(MANDATE, GRANTED, HELD, amended).when(more).refused("issuer_maximum_reached")
    assert refusal.facts == {"mandate_id": build.MANDATE, "needed_usd": "0.01"}
    Given(MANDATE, GRANTED, HELD, amended).when(capture_budget()).then(CAPTURED)


def test_a_vendor_or_generation_counts_what_is_held_for_any_of_its_classes_and_committed_for_the_one_that_won():
    terms = {"vendor_share_max": usd("0.9"), "generation_share_max": usd("0.6")}
    both = (*priced(3, "H100_SXM"), *priced(3, "MI300X"))
    first = held(gpu_classes=("H100_SXM", "MI300X"))
    amd = hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, amount_usd=usd(450), prices=priced(3, "MI300X"))
    Given(MANDATE, granted(**terms)).when(hold_budget(prices=both)).then(first)
    Given(MANDATE, granted(**terms), first).when(amd).refused("generation_maximum_reached")
    won = replace(CAPTURED, gpu_class="H100_SXM")
    asked = held(hold_id=HOLD_2, issuer_id=ISSUER_2, amount=450, gpu_classes=("MI300X",))
    Given(MANDATE, granted(**terms), first, won).when(amd).then(asked)
    Given(MANDATE, granted(**terms), first).when(matched(prices=priced(3))).then(won)


def test_direct_cash_counts_toward_no_vendor():
    terms = {"vendor_share_max": usd("0.1"), "direct_budget_usd": usd(500)}
    Given(MANDATE, granted(**terms)).when(hold_budget(direct=True)).then(held(direct=True))


@pytest.mark.parametrize("limit", ["budget_usd", "direct_budget_usd", "sector_usd_max"])
def test_what_other_issuers_left_shows_in_twentieths_whatever_is_asked(limit):
    """A rival holds 123.45 of a thousand. The search that used to read it to the cent finds 850.

    The draws of a related issuer count as the issuer's own, so that the two do not read it by drawing in turns.
    """
    is_direct = limit == "direct_budget_usd"
    wide = dict.fromkeys(("budget_usd", "direct_budget_usd", "issuer_usd_max"), usd(10_000)) | {limit: usd(1_000)}
    rival = [granted(**wide), held(issuer_id=ISSUER_2, amount=usd("123.45"), direct=is_direct)]
    own = held(HOLD_2, amount=usd("7.01"), direct=is_direct)
    sister = replace(own, issuer_id=id_of("iss", 3))

    def search(*events):
        state, low, high = MANDATE.fold([*rival, *events]), 0, 100_000
        while high - low > 1:
            middle = (low + high) // 2
            more = hold_budget(
                hold_id=id_of("hld", 3),
                amount_usd=usd(middle) / 100,
                direct=is_direct,
                related_ids=frozenset({sister.issuer_id}),
            )
            try:
                MANDATE.decide(more, state)
            except Refusal as refusal:
                high, told = middle, refusal
            else:
                low = middle
        assert set(told.facts) == {"mandate_id", "needed_usd"}
        return usd(low) / 100

    assert (search(), search(own), search(sister)) == (850, usd("842.99"), usd("842.99"))
    approved = hold_budget(hold_id=id_of("hld", 3), amount_usd=usd("876.55"), direct=is_direct, approved=True)
    assert MANDATE.decide(approved, MANDATE.fold(rival))


def test_revokes():
    Given(MANDATE, GRANTED).when(REVOKE).then(REVOKED)


def test_a_revocation_ends_what_is_held_and_keeps_what_is_committed():
    ended = (EndedHold(hold_id=HOLD, order_id=ORDER, amount_usd=usd(400)),)
    Given(MANDATE, GRANTED, HELD).when(REVOKE).then(replace(REVOKED, ended=ended))
    Given(MANDATE, GRANTED, HELD, REVOKED).when(capture_budget()).refused("capture_above_hold")
    Given(MANDATE, GRANTED, HELD, REVOKED).when(release_budget()).then_nothing()
    assert MANDATE.fold([GRANTED, HELD, REVOKED]).owed_usd == 0
    assert MANDATE.fold([GRANTED, HELD, CAPTURED, released(100), REVOKED]).owed_usd == 300
    Given(MANDATE, GRANTED, HELD, CAPTURED, released(100)).when(REVOKE).then(REVOKED)


def test_an_order_above_an_amount_waits_for_approval():
    waiting = held(needs_approval=True, instrument=safe())
    Given(MANDATE, CAREFUL).when(hold_budget()).then(waiting)
    Given(MANDATE, CAREFUL).when(hold_budget(amount_usd=usd(399))).then(held(amount=399))
    Given(MANDATE, CAREFUL).when(hold_budget(approved=True)).then(held(until=None, amount_usd_max=None))
    Given(MANDATE, *WAITING).when(APPROVE).then(APPROVED)
    Given(MANDATE, *WAITING, APPROVED).when(matched()).then(CAPTURED)
    Given(MANDATE, *WAITING).when(REFUSE).then(REFUSED)
    Given(MANDATE, *WAITING, REFUSED).when(REFUSE).then_nothing()
    Given(MANDATE, GRANTED, HELD).when(REFUSE).then(REFUSED)
    assert MANDATE.fold([*WAITING, REFUSED]).owed_usd == 0


def test_a_holder_that_refuses_an_order_may_keep_its_issuer_away_for_some_days():
    bar = replace(REFUSE, barred_until=BARRED.barred_until)
    Given(MANDATE, *WAITING).when(bar).then(BARRED)
    later = hold_budget(hold_id=HOLD_2, at=BARRED.barred_until)
    after = replace(held(hold_id=HOLD_2), until=BARRED.barred_until + timedelta(days=14), needs_approval=True)
    Given(MANDATE, *WAITING, BARRED).when(later).then(replace(after, instrument=safe()))
    Given(MANDATE, *WAITING, BARRED).when(hold_budget(hold_id=HOLD_2, approved=True)).then(
        held(hold_id=HOLD_2, until=None, amount_usd_max=None)
    )
    Given(MANDATE, *WAITING, BARRED).when(hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2)).then(
        held(hold_id=HOLD_2, issuer_id=ISSUER_2, needs_approval=True, instrument=safe())
    )


def test_a_second_refusal_for_fewer_days_leaves_the_issuer_away_as_long_as_the_first():
    other = replace(BARRED, hold_id=HOLD_2, barred_until=BARRED.barred_until - timedelta(days=6))
    refused = (*WAITING, held(hold_id=HOLD_2), BARRED, other)
    early, later = (
        hold_budget(hold_id=id_of("hld", 3), at=BARRED.barred_until - timedelta(seconds=left)) for left in (1, 0)
    )
    Given(MANDATE, *refused).when(early).refused("issuer_unwelcome")
    assert MANDATE.decide(later, MANDATE.fold(list(refused)))


def test_many_small_orders_of_one_issuer_wait_as_one_large_order_does():
    small, second = usd(200), {"hold_id": id_of("hld", 2), "amount_usd": usd(200)}
    first = Given(MANDATE, CAREFUL, held(amount=200))
    first.when(hold_budget(**second)).then(
        held(amount=200, hold_id=second["hold_id"], needs_approval=True, instrument=safe())
    )
    first.when(hold_budget(**second, issuer_id=id_of("iss", 2))).then(
        held(amount=200, hold_id=second["hold_id"], issuer_id=id_of("iss", 2))
    )
    first.when(hold_budget(**second | {"amount_usd": usd(199)})).then(held(amount=199, hold_id=second["hold_id"]))
    approved = held(amount=200, until=None)
    Given(MANDATE, CAREFUL, approved).when(hold_budget(**second)).then(held(amount=small, hold_id=second["hold_id"]))


def test_stages_vendors_and_multiples_of_a_list_price_are_welcome():
    Given(MANDATE, granted(stages=("seed",))).when(hold_budget(stage="seed")).then(HELD)
    of_class = held(gpu_classes=("H100_SXM",))
    Given(MANDATE, granted(gpu_vendors=("nvidia",))).when(hold_budget(prices=priced(3))).then(of_class)
    Given(MANDATE, LISTED).when(hold_budget(prices=priced(3, listed=2))).then(of_class)


def test_a_company_may_grow_a_little_between_order_and_match():
    Given(MANDATE, *STOCK).when(matched_stock(10_500_000)).then(CAPTURED)


def test_a_hold_is_over_by_its_time_its_mandate_or_its_holder():
    for events, at, why in (
        ((GRANTED, HELD), hour(14 * 24), "held its budget until"),
        ((ENDED, held(until=build.NOW)), build.NOW, "ended at"),
        ((GRANTED, HELD, REVOKED), build.NOW, "was revoked"),
        ((GRANTED, HELD, REFUSED), build.NOW, "refused the order"),
    ):
        assert why in require_over(MANDATE.fold(events), HOLD, at)
    with pytest.raises(Refusal) as caught:
        require_over(MANDATE.fold([GRANTED, HELD]), HOLD, hour(14 * 24 - 1))
    assert (caught.value.code, caught.value.facts["due"]) == ("hold_not_due", render_instant(hour(14 * 24)))
    again = hold_budget(until_max=hour(5))
    Given(MANDATE, GRANTED).when(again).then(held(until=hour(5)))


def test_holds_up_to_the_issuer_maximum_and_the_budget():
    Given(MANDATE, GRANTED).when(hold_budget()).then(HELD)
    rest_of_issuer = hold_budget(hold_id=HOLD_2, amount_usd=usd(200))
    Given(MANDATE, GRANTED, HELD).when(rest_of_issuer).then(held(HOLD_2, amount=200))
    rest_of_budget = hold_budget(hold_id=HOLD_2, issuer_id=ISSUER_2, amount_usd=usd(600))
    Given(MANDATE, GRANTED, HELD).when(rest_of_budget).then(held(HOLD_2, ISSUER_2, 600))


def test_bounds_of_caps_are_welcome_and_none_is_any():
    for cap in (usd(5_000_000), usd(50_000_000)):
        assert MANDATE.decide(hold_budget(instrument=safe(valuation_cap_usd=cap)), MANDATE.fold([GRANTED]))
    unbounded = granted(valuation_cap_usd_max=None, sectors=(), uncapped=True)
    uncapped = hold_budget(instrument=safe(valuation_cap_usd=None), sector=None)
    Given(MANDATE, unbounded).when(uncapped).then(held(sector=None))


def test_direct_cash_has_a_budget_of_its_own_that_a_release_frees():
    Given(MANDATE, *DIRECT).when(hold_budget(hold_id=HOLD_2, direct=True, amount_usd=usd(100))).then(
        held(HOLD_2, amount=100, direct=True)
    )
    freed = MANDATE.fold([*DIRECT, released(400)])
    assert (freed.used_directly_usd, freed.used_by_sector_usd["biotech"]) == (0, 0)


def test_a_warrant_within_the_bounds_is_welcome():
    taken = held(implied_cap_usd=usd(20_000_000))
    Given(MANDATE, WARRANTS).when(hold_warrant()).then(taken)
    dear = granted(**ANY_WARRANT, strike_usd_max=usd(90), warrant_days_min=1)
    brief = hold_warrant(exercise_price_usd=usd("89.98"), expires_at=build.NOW + timedelta(days=1))
    Given(MANDATE, dear).when(brief).then(taken)


def test_captures_part_of_a_hold_and_frees_the_rest():
    Given(MANDATE, GRANTED, HELD).when(capture_budget()).then(CAPTURED)
    Given(MANDATE, GRANTED, HELD, CAPTURED).when(release_budget(keep_usd=usd(300))).then(released(100))
    state = MANDATE.fold([GRANTED, HELD, CAPTURED, released(100)])
    assert (state.used_usd, state.holds[HOLD].held_usd, state.holds[HOLD].committed_usd) == (300, 0, 300)


def test_frees_committed_budget_that_is_not_delivered():
    given = (GRANTED, HELD, CAPTURED, released(100))
    Given(MANDATE, *given).when(release_budget(keep_usd=usd(120))).then(replace(released(180), committed=True))
    assert MANDATE.fold([*given, released(180)]).holds[HOLD].committed_usd == 120


def test_freed_budget_is_held_again():
    given = (GRANTED, HELD, released(400))
    everything = hold_budget(hold_id=HOLD_2, amount_usd=usd(600))
    Given(MANDATE, *given).when(everything).then(held(HOLD_2, amount=600))


def test_a_hold_of_nothing_stands_for_a_credit_of_zero():
    Given(MANDATE, GRANTED).when(hold_budget(amount_usd=usd(0))).then(held(amount=0))
    nothing = MandateBudgetCaptured(mandate_id=build.MANDATE, hold_id=HOLD, grant_id=GRANT, amount_usd=usd(0))
    Given(MANDATE, GRANTED, held(amount=0)).when(capture_budget(amount_usd=usd(0))).then(nothing)


def test_a_mandate_for_post_money_safes_takes_them_and_notes():
    both = granted(post_money_only=True, instrument_kinds=("safe", "convertible_note"), expires_at=None)
    for offered in (safe(), note()):
        Given(MANDATE, both).when(hold_budget(instrument=offered)).then(held())


@pytest.mark.parametrize(
    ("rules", "offered"),
    [
        ({}, note(annual_rate=usd("0.04"), matures_on=LATE - timedelta(days=1))),
        ({"note_days_min": 1}, note(matures_on=build.NOW.date() + timedelta(days=1))),
        ({"note_days_max": 3_653}, note(matures_on=build.NOW.date() + timedelta(days=3_653))),
        ({"note_rate_min": usd(0)}, note(annual_rate=usd(0))),
        ({"valuation_cap_usd_max": usd(1_000_000_000)}, note(valuation_cap_usd=usd(1_000_000_000))),
    ],
)
def test_a_holder_that_states_it_takes_notes_of_many_years_low_interest_or_a_high_cap(rules, offered):
    mandate = granted(instrument_kinds=("convertible_note",), expires_at=None, **rules)
    Given(MANDATE, mandate).when(hold_budget(instrument=offered)).then(held())
