"""Instruments in a package: one tranche is one convertible; see `outgoing`.

OCF cannot amend a convertible. Where an amendment applies to existing tranches, their convertibles are cancelled and
new ones are issued on the new terms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal

from msgspec import UNSET

from events import instrument as instruments
from events.issuer import IssuerStockIssued
from events.plain_json import render_decimal
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms
from marketplace.core.money import ZERO
from marketplace.ocf import transactions as tx
from marketplace.ocf.numbers import render_money, render_number
from marketplace.ocf.values import (
    AnyMechanism,
    AutomaticOnCondition,
    ConversionRight,
    CustomMechanism,
    InterestRate,
    NoteMechanism,
    SafeMechanism,
)
from marketplace.ocf.writing import Writing

_CONDITION: Final = "Equity financing: the company sells preferred stock at a fixed valuation to raise money."


@dataclass(slots=True)
class _Tranche:
    """A tranche, the convertible that represents it now, and its outstanding principal."""

    tranche_id: str
    security_id: str
    outstanding_usd: Decimal
    interest_from: date


class Convertibles:
    """The instruments of an issuer as convertibles.

    Args:
        stock: All issuances of stock, among which the shares of conversions are found.
    """

    def __init__(self, stock: Sequence[IssuerStockIssued]) -> None:
        self._stock = list(stock)
        self._terms: dict[str, PrincipalTerms] = {}
        self._priced: set[str] = set()
        self._holders: dict[str, str] = {}
        self._tranches: dict[str, list[_Tranche]] = {}
        self._handlers: dict[type[Any], Callable[[Writing, Any], None]] = {
            instruments.InstrumentIssued: self._issued,
            instruments.InstrumentPrincipalAccrued: self._accrued,
            instruments.InstrumentPrincipalReversed: self._reversed,
            instruments.InstrumentAmended: self._amended,
            instruments.InstrumentTransferred: self._transferred,
            instruments.InstrumentMfnElected: self._elected,
            instruments.InstrumentConverted: self._converted,
            instruments.InstrumentRepaid: self._repaid,
        }

    def record(self, out: Writing, event: Any) -> None:
        """Add the objects of one act; suspensions and lapses have none, since only accrued principal is written."""
        handle = self._handlers.get(type(event))
        if handle is not None and not self._is_priced(event):
            handle(out, event)
        elif isinstance(event, instruments.InstrumentConverted):
            out.paid[event.cause] = Fraction(event.principal_usd)

    def _is_priced(self, event: Any) -> bool:
        """Return whether an act is of a priced stock agreement or warrant, whose shares the issuer's own acts issue."""
        if isinstance(event, instruments.InstrumentIssued) and isinstance(event.terms, PricedTerms):
            self._priced.add(event.instrument_id)
        return event.instrument_id in self._priced

    def _issued(self, _: Writing, event: instruments.InstrumentIssued) -> None:
        self._terms[event.instrument_id] = event.terms
        self._holders[event.instrument_id] = event.holder_id
        self._tranches[event.instrument_id] = []

    def _accrued(self, out: Writing, event: instruments.InstrumentPrincipalAccrued) -> None:
        tranche = _Tranche(event.tranche_id, event.tranche_id, event.principal_usd, event.interest_from)
        self._tranches[event.instrument_id].append(tranche)
        consideration = "Cash" if event.statement_id is None else f"Compute, by statement {event.statement_id}"
        self._issue(out, event.instrument_id, tranche, consideration)

    def _issue(self, out: Writing, instrument_id: str, tranche: _Tranche, consideration: str | None = None) -> None:
        holder_id = self._holders[instrument_id]
        out.require_stakeholder(holder_id)
        numbered, terms = out.number(), self._terms[instrument_id]
        kind: Literal["SAFE", "NOTE"] = "SAFE" if isinstance(terms, SafeTerms) else "NOTE"
        right = ConversionRight(
            type="CONVERTIBLE_CONVERSION_RIGHT",
            conversion_mechanism=_render_mechanism(terms, tranche.interest_from),
            converts_to_future_round=True,
        )
        trigger = AutomaticOnCondition(
            trigger_id=f"{tranche.security_id}-financing", conversion_right=right, trigger_condition=_CONDITION
        )
        out.transactions.append(
            tx.ConvertibleIssuance(
                **numbered,
                comments=(f"Tranche of {instrument_id}",),
                security_id=tranche.security_id,
                custom_id=f"{kind}-{numbered['id'].removeprefix('tx-')}",
                stakeholder_id=holder_id,
                security_law_exemptions=(),
                consideration_text=UNSET if consideration is None else consideration,
                investment_amount=render_money(tranche.outstanding_usd),
                convertible_type=kind,
                conversion_triggers=(trigger,),
                seniority=1,
            )
        )

    def _reversed(self, out: Writing, event: instruments.InstrumentPrincipalReversed) -> None:
        """Cancel what is outstanding; the issuer's act and the sidecar state the shares and money taken back."""
        if event.became != "outstanding":
            return
        tranche = next(each for each in self._tranches[event.instrument_id] if each.tranche_id == event.tranche_id)
        amount = event.principal_usd
        self._cancel(out, event.instrument_id, tranche, event.reason, amount_usd=amount, goes_on=False)

    def _cancel(
        self, out: Writing, instrument_id: str, tranche: _Tranche, reason: str, *, amount_usd: Decimal, goes_on: bool
    ) -> None:
        """Cancel an amount of a convertible; the rest, or all of it if it `goes_on`, continues under a new id."""
        before = tranche.security_id
        tranche.outstanding_usd -= ZERO if goes_on else amount_usd
        if tranche.outstanding_usd:
            tranche.security_id = out.number_result()
        out.transactions.append(
            tx.ConvertibleCancellation(
                **out.number(),
                security_id=before,
                reason_text=reason,
                amount=render_money(amount_usd),
                balance_security_id=tranche.security_id if tranche.outstanding_usd else UNSET,
            )
        )
        if tranche.outstanding_usd:
            self._issue(out, instrument_id, tranche)

    def _amended(self, out: Writing, event: instruments.InstrumentAmended) -> None:
        self._terms[event.instrument_id] = event.terms
        if not event.applies_to_earlier:
            return
        for tranche in self._list_outstanding(event.instrument_id):
            reason = f"The terms have version {event.terms_version}; it goes on under these."
            amount = tranche.outstanding_usd
            self._cancel(out, event.instrument_id, tranche, reason, amount_usd=amount, goes_on=True)

    def _transferred(self, out: Writing, event: instruments.InstrumentTransferred) -> None:
        """Transfer every convertible; the new holder gets new ones."""
        self._holders[event.instrument_id] = event.holder_id_after
        for tranche in self._list_outstanding(event.instrument_id):
            before, tranche.security_id = tranche.security_id, out.number_result()
            out.transactions.append(
                tx.ConvertibleTransfer(
                    **out.number(),
                    security_id=before,
                    amount=render_money(tranche.outstanding_usd),
                    resulting_security_ids=(tranche.security_id,),
                )
            )
            self._issue(out, event.instrument_id, tranche)

    def _elected(self, out: Writing, event: instruments.InstrumentMfnElected) -> None:
        """Replace every convertible by one on the terms that its holder elected."""
        if self._terms[event.instrument_id] == event.terms:
            return
        self._terms[event.instrument_id] = event.terms
        for tranche in self._list_outstanding(event.instrument_id):
            reason = "Its holder elected the terms of a later SAFE; it goes on under these."
            amount = tranche.outstanding_usd
            self._cancel(out, event.instrument_id, tranche, reason, amount_usd=amount, goes_on=True)

    def _list_outstanding(self, instrument_id: str) -> list[_Tranche]:
        return [tranche for tranche in self._tranches[instrument_id] if tranche.outstanding_usd > ZERO]

    def _converted(self, out: Writing, event: instruments.InstrumentConverted) -> None:
        stock = self._find_stock(event)
        left = event.principal_usd
        for tranche in self._list_outstanding(event.instrument_id):
            if left <= ZERO:
                break
            part = min(left, tranche.outstanding_usd)
            left -= part
            if stock is None:
                reason = f"It became money, or no whole share, in {event.cause}."
                self._cancel(out, event.instrument_id, tranche, reason, amount_usd=part, goes_on=False)
                continue
            self._convert(out, event, tranche, part, stock)

    def _convert(
        self,
        out: Writing,
        event: instruments.InstrumentConverted,
        tranche: _Tranche,
        part_usd: Decimal,
        stock: IssuerStockIssued,
    ) -> None:
        before = tranche.security_id
        tranche.outstanding_usd -= part_usd
        if tranche.outstanding_usd:
            tranche.security_id = out.number_result()
        out.transactions.append(
            tx.ConvertibleConversion(
                **out.number(),
                comments=(f"Branch {event.branch}, {event.price_usd_per_share} dollars a share, exact.",),
                security_id=before,
                reason_text=f"Financing {event.cause}",
                trigger_id=f"{before}-financing",
                resulting_security_ids=(stock.security_id,),
                quantity_converted=render_number(part_usd),
                balance_security_id=tranche.security_id if tranche.outstanding_usd else UNSET,
            )
        )
        if tranche.outstanding_usd:
            self._issue(out, event.instrument_id, tranche)

    def _find_stock(self, event: instruments.InstrumentConverted) -> IssuerStockIssued | None:
        """Return the issuance of the shares that a conversion made, once for each conversion; None if there is none."""
        for index, stock in enumerate(self._stock):
            wanted = (event.holder_id, event.class_id, event.shares)
            made = (stock.holder_id, stock.class_id, stock.shares)
            if wanted == made and stock.cause in {event.cause, event.instrument_id}:
                return self._stock.pop(index)
        return None

    def _repaid(self, out: Writing, event: instruments.InstrumentRepaid) -> None:
        for tranche in self._list_outstanding(event.instrument_id):
            amount = tranche.outstanding_usd
            amounts = _write(event.principal_usd), _write(event.amount_usd)
            reason = "{} dollars of principal ended for {} in {}.".format(*amounts, event.cause)
            self._cancel(out, event.instrument_id, tranche, reason, amount_usd=amount, goes_on=False)


def _write(dollars: Decimal) -> str:
    return render_decimal(dollars, dollars=True)


_COMPOUNDED: Final = {
    "compound_annual": "ANNUAL",
    "compound_semiannual": "SEMI_ANNUAL",
    "compound_quarterly": "QUARTERLY",
    "compound_monthly": "MONTHLY",
}
_DAY_COUNTS: Final = {"actual_365": "ACTUAL_365", "thirty_360": "30_360"}


def _render_mechanism(terms: PrincipalTerms, interest_from: date) -> AnyMechanism:
    assert not isinstance(terms, PricedTerms), "a purchase at an agreed price is no convertible"
    if isinstance(terms, SafeTerms):
        return _render_safe(terms)
    if terms.day_count not in _DAY_COUNTS:
        description = f"A note that counts days as {terms.day_count}, which OCF cannot say: {terms.annual_rate} a year"
        return CustomMechanism(custom_conversion_description=description)
    return _render_note(terms, interest_from)


def _render_note(terms: NoteTerms, interest_from: date) -> NoteMechanism:
    rate = InterestRate(
        rate=render_number(terms.annual_rate),
        accrual_start_date=interest_from,
        accrual_end_date=terms.matures_on if terms.matures_on >= interest_from else UNSET,
    )
    known: dict[str, Any] = {
        "day_count_convention": _DAY_COUNTS[terms.day_count],
        "interest_accrual_period": _COMPOUNDED.get(terms.interest, "DAILY"),
        "compounding_type": "SIMPLE" if terms.interest == "simple" else "COMPOUNDING",
    }
    return NoteMechanism(
        interest_rates=(rate,),
        interest_payout="DEFERRED",
        conversion_discount=UNSET if terms.discount is None else render_number(terms.discount),
        conversion_valuation_cap=UNSET if terms.valuation_cap_usd is None else render_money(terms.valuation_cap_usd),
        **known,
    )


def _render_safe(terms: SafeTerms) -> SafeMechanism:
    return SafeMechanism(
        conversion_mfn=terms.most_favoured_nation,
        conversion_discount=UNSET if terms.discount is None else render_number(terms.discount),
        conversion_valuation_cap=UNSET if terms.valuation_cap_usd is None else render_money(terms.valuation_cap_usd),
        conversion_timing="POST_MONEY" if terms.conversion_timing == "post_money" else "PRE_MONEY",
    )
