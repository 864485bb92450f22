"""What-if rounds and sales on a branch of an issuer's history, decided by the issuer's own deciders.

A branch starts from the state after the recorded events and adds acts that are never recorded. It has no log and cannot
append.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from events.financing import Approval, ConvertingInstrument, RoundPricing, RoundTerms, Waterfall
from marketplace.captable.history import History
from marketplace.core.ids import derive_id
from marketplace.core.money import ZERO
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.commands import (
    AbandonFinancing,
    CloseFinancing,
    DeclareLiquidity,
    OpenFinancing,
    PriceFinancing,
    WithdrawLiquidity,
)
from marketplace.domain.equity.issuer.financing.financing import list_conversions
from marketplace.domain.equity.issuer.holder_commands import AnswerProRata
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer

_APPROVAL: Final = Approval(document="what if")


@dataclass(frozen=True, slots=True)
class Branch:
    """An issuer and its instruments on a branch.

    Attributes:
        issuer: The company.
        instruments: By id.
        at: The instant of the branch's acts.
        rounds: How many rounds were closed on it.
    """

    issuer: Issuer
    instruments: dict[str, Instrument]
    at: datetime
    rounds: int = 0

    def close_round(self, terms: RoundTerms) -> tuple["Branch", RoundPricing]:
        """Return a further branch after a priced round on these terms, and the round's pricing.

        On it, a round that is open is abandoned, a declared sale is withdrawn, and holders decline to join the new
        round by their pro rata rights. This branch stays as it is.

        Raises:
            Refusal: Those of the issuer's own financings.
        """
        issuer_id = self.issuer.formed.issuer_id
        financing_id = derive_id("fin", issuer_id, f"what if {self.rounds}")
        issuer = self._abandon_open()
        of: dict[str, Any] = {"issuer_id": issuer_id, "financing_id": financing_id}
        instruments = self.list_converting()
        opening = OpenFinancing(**of, name=f"what if {self.rounds + 1}", terms=terms, at=self.at)
        issuer = self._decline_pro_rata(_decide(issuer, opening), financing_id)
        issuer = _decide(issuer, PriceFinancing(**of, instruments=instruments, at=self.at, again=True))
        pricing = issuer.financings[financing_id].pricing
        assert pricing is not None, "it was priced"
        conversions = list_conversions(issuer, financing_id)
        issuer = _decide(issuer, CloseFinancing(**of, instruments=instruments, approval=_APPROVAL, at=self.at))
        after = dict(self.instruments)
        for conversion in conversions:
            known = after[conversion.instrument_id]
            converted = INSTRUMENT.fold(INSTRUMENT.decide(conversion, known), known)
            assert converted is not None, "it was there"
            after[conversion.instrument_id] = converted
        return replace(self, issuer=issuer, instruments=after, rounds=self.rounds + 1), pricing

    def sell(self, proceeds_usd: Decimal, safe_seniority: int | None = None) -> Waterfall:
        """Return the waterfall of a sale for so many dollars: what each holder is paid.

        A round that is open is abandoned first, and a declared sale is withdrawn. This branch stays as it is.

        Raises:
            Refusal: Those of the issuer's own sales.
        """
        issuer_id = self.issuer.formed.issuer_id
        liquidity_id = derive_id("liq", issuer_id, "what if")
        command = DeclareLiquidity(
            issuer_id=issuer_id,
            liquidity_id=liquidity_id,
            proceeds_usd=proceeds_usd,
            instruments=self.list_converting(),
            at=self.at,
            safe_seniority=safe_seniority,
        )
        return _decide(self._abandon_open(), command).sales[liquidity_id].declared.waterfall

    def list_converting(self) -> tuple[ConvertingInstrument, ...]:
        """Return the outstanding principal of every instrument that a round converts or a sale pays."""
        return tuple(
            each for key in sorted(self.instruments) for each in self.instruments[key].list_converting(self.at)
        )

    def _decline_pro_rata(self, issuer: Issuer, financing_id: str) -> Issuer:
        """Return the issuer once every holder has declined to join the round by right."""
        of: dict[str, Any] = {"issuer_id": issuer.formed.issuer_id, "financing_id": financing_id}
        for offer in issuer.financings[financing_id].offers:
            decline = AnswerProRata(**of, holder_id=offer.holder_id, amount_usd=ZERO, at=self.at)
            issuer = _decide(issuer, decline)
        return issuer

    def _abandon_open(self) -> Issuer:
        """Return the issuer without the round that is open, or the sale that is declared."""
        issuer = self.issuer
        of: dict[str, Any] = {"issuer_id": issuer.formed.issuer_id, "reason": "what if"}
        financing = issuer.find_open_financing()
        if financing is not None:
            issuer = _decide(issuer, AbandonFinancing(**of, financing_id=financing.opened.financing_id))
        if issuer.liquidity_id is not None and not issuer.is_ended:
            command = WithdrawLiquidity(**of, liquidity_id=issuer.liquidity_id, cause="agreed", at=self.at)
            issuer = _decide(issuer, command)
        return issuer


def _decide(issuer: Issuer, command: object) -> Issuer:
    after = ISSUER.fold(ISSUER.decide(command, issuer), issuer)  # type: ignore[arg-type]
    assert isinstance(after, Issuer), "an issuer stays one"
    return after


def begin_branch(history: History, at: datetime, known: int | None = None) -> Branch:
    """Return a branch of what had happened by `at`, from the events that the log held at the sequence `known`.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    past = history.until(at, known)
    return Branch(past.get_issuer(), past.list_instruments(), at)
