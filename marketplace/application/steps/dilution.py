"""An issuer's dilution limit: what instruments count toward it, kept current in their own appends.

An instrument counts from its signing until it converts, lapses or is paid out, and an order from its placing to its
match or end, also before there is a limit. Every change is an event of the issuer. Two decisions that would dilute it
at once therefore conflict there, and so do a new limit and a change of what counts toward it.
"""

from datetime import date, datetime
from decimal import Decimal

from events.issuer_dilution import CountedInstrument
from events.types import PricedTerms, SafeTerms
from marketplace.domain.equity.instrument.commands import IssueInstrument, NoticeMfn
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.mfn import WINDOW, find_offer, has_open_clause
from marketplace.domain.equity.issuer.commands import LimitDilution, RecordExposure, SignInstrument
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.register import REGISTER, REGISTER_ID
from marketplace.execution.unit_of_work import UnitOfWork


async def sign_instrument(
    unit: UnitOfWork,
    issue: IssueInstrument,
    *,
    split_ratio: str | None = None,
    by_limit: bool = False,
    is_bound: bool = False,
    invested_on: date | None = None,
) -> None:
    """Issue an instrument, and register it with its issuer.

    Args:
        unit: The decision.
        issue: The instrument.
        split_ratio: The issuer's split factor when a price per share was agreed; None: the present one.
        by_limit: Whether the issuer's other holders agree to it by a dilution limit, not by a vote.
        is_bound: Whether it fulfils an order that was within the limit when its auction bound it, or its quote was
            held, so that no later limit refuses it.
        invested_on: The day of a cash investment; None: its principal accrues from compute.

    Raises:
        Refusal: Refusals of the instrument and of the issuer.
    """
    await unit.decide(INSTRUMENT, issue.instrument_id, issue)
    note = SignInstrument(
        issuer_id=issue.issuer_id,
        instrument_id=issue.instrument_id,
        holder_id=issue.holder_id,
        commitment_usd=issue.commitment_usd,
        terms=issue.terms,
        split_ratio=split_ratio,
        by_limit=by_limit,
        related_ids=(await unit.load(REGISTER, REGISTER_ID)).list_group(issue.holder_id) if by_limit else frozenset(),
        is_bound=is_bound,
        invested_on=invested_on,
    )
    await unit.decide(ISSUER, issue.issuer_id, note)
    await track_instrument(unit, issue.instrument_id, owed=is_bound)
    await notify_favoured(unit, issue.instrument_id)


async def notify_favoured(unit: UnitOfWork, instrument_id: str) -> None:
    """Give each most-favoured SAFE of the issuer notice of a SAFE or note that was just signed or amended.

    From now on it counts at the cap that its holder may elect.
    """
    later = await unit.get(INSTRUMENT, instrument_id)
    issuer = await unit.load(ISSUER, later.issued.issuer_id)
    if isinstance(later.terms, PricedTerms) or not isinstance(issuer, Issuer):
        return
    for favoured_id, exposures in sorted(issuer.exposures.items()):
        favoured = any(isinstance(each.terms, SafeTerms) and each.terms.most_favoured_nation for each in exposures)
        if not favoured or favoured_id == instrument_id or favoured_id not in issuer.instruments:
            continue
        known = await unit.get(INSTRUMENT, favoured_id)
        offer = find_offer(known, later)
        if offer is not None and has_open_clause(known):
            notice = NoticeMfn(
                instrument_id=favoured_id,
                later_instrument_id=instrument_id,
                terms=offer,
                elect_until=unit.context.at + WINDOW,
                at=unit.context.at,
            )
            await unit.decide(INSTRUMENT, favoured_id, notice)
            await track_instrument(unit, favoured_id, owed=True)


async def track_instrument(unit: UnitOfWork, instrument_id: str, *, owed: bool = False) -> None:
    """Update what an instrument counts toward its issuer's dilution limit.

    Args:
        unit: The decision.
        instrument_id: The instrument, as the decision leaves it.
        owed: Whether its holder has a right to the change, so that the limit cannot refuse it.

    Raises:
        Refusal: Unless `owed`, ``stack_exceeds_company`` · ``dilution_exceeded`` · ``missing_convention``.
    """
    instrument = await unit.get(INSTRUMENT, instrument_id)
    exposures = instrument.list_exposures(unit.context.at.date())
    issuer_id = instrument.issued.issuer_id
    command = RecordExposure(
        issuer_id=issuer_id,
        subject_id=instrument_id,
        exposures=exposures,
        owed=owed,
        holder_id=instrument.holder_id,
    )
    await unit.decide_at_end(ISSUER, issuer_id, command)


async def set_limit(
    unit: UnitOfWork, issuer_id: str, *, dilution_max: Decimal | None, valuation_usd: Decimal | None, at: datetime
) -> None:
    """Set an issuer's dilution limit and count its instruments toward it as of `at`; with None, lift the limit.

    Raises:
        Refusal: Refusals of the issuer.
    """
    issuer = await unit.get(ISSUER, issuer_id, Issuer)
    counted = []
    for instrument_id in sorted(issuer.instruments):
        await unit.reload(INSTRUMENT, instrument_id)
        exposures = (await unit.get(INSTRUMENT, instrument_id)).list_exposures(at.date())
        if exposures:
            counted.append(CountedInstrument(instrument_id=instrument_id, exposures=exposures))
    command = LimitDilution(
        issuer_id=issuer_id,
        dilution_max=dilution_max,
        valuation_usd=valuation_usd,
        instruments=() if dilution_max is None else tuple(counted),
    )
    await unit.decide(ISSUER, issuer_id, command)


async def free_order(unit: UnitOfWork, issuer_id: str, order_id: str) -> None:
    """Stop counting an order that offers an instrument. An order for cash only is never counted."""
    freed = RecordExposure(issuer_id=issuer_id, subject_id=order_id, exposures=())
    await unit.decide_at_end(ISSUER, issuer_id, freed)
