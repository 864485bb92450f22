"""One shape for everything that converts: SAFEs and notes become claims with an amount, a cap and a discount.

Tranches with the same terms act as one claim, so that splitting an instrument cannot change what it converts into.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from marketplace.core.errors import Refusal
from marketplace.equity.capitalization import Counted, claimed_part, counted_by
from marketplace.equity.exact import ONE, ZERO, positive, proper_fraction, show
from marketplace.equity.model import Branch, Note, RoundTerms, Safe, SafeTerms
from marketplace.equity.notes import balance


@dataclass(frozen=True, slots=True)
class Claim:
    """What one instrument of one holder may convert into in a round.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        amount: Dollars that convert: principal, and interest of a note.
        tranches: Amounts of its tranches, in the order given.
        cap: The valuation cap in dollars; None if uncapped.
        cap_part: Amount over cap: the part of its capitalization that the cap gives; None if uncapped.
        fixed_part: Fixed share of its capitalization; None if it has none.
        price_factor: One less the discount.
        counted: The parts of the company that the cap is divided by; None without cap and fixed share.
    """

    instrument_id: str
    holder_id: str
    amount: Fraction
    tranches: tuple[Fraction, ...]
    cap: Fraction | None
    cap_part: Fraction | None
    fixed_part: Fraction | None
    price_factor: Fraction
    counted: Counted | None

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The ways in which this instrument may convert, last the round price, which every instrument may take."""
        if self.fixed_part is not None:
            return ("fixed_ownership", "round_price")
        found: list[Branch] = []
        if self.cap_part is not None:
            found.append("cap")
        if self.price_factor < 1:
            found.append("discount")
        return (*found, "round_price")

    @property
    def part(self) -> Fraction:
        """The part of its capitalization that it claims: its fixed share, or else its amount over its cap."""
        part = self.fixed_part if self.fixed_part is not None else self.cap_part
        if part is None:
            raise AssertionError(f"{self.instrument_id} took a cap that it does not have")
        return part


def claims_of(safes: Iterable[Safe], notes: Iterable[Note], terms: RoundTerms) -> tuple[Claim, ...]:
    """Read SAFEs and notes into claims, one for each instrument and holder, in the order of first appearance.

    Raises:
        Refusal: ``mfn_election_missing``, ``not_positive``, ``fraction_out_of_range``, ``cap_below_principal``,
            ``missing_convention``, ``terms_differ`` if tranches of one instrument do not share their terms.
    """
    found: dict[tuple[str, str], Claim] = {}
    for safe in safes:
        _merge(found, _safe_claim(safe, terms))
    for note in notes:
        _merge(found, _note_claim(note, terms))
    for claim in found.values():
        _refuse_small_cap(claim)
    return tuple(found.values())


def elected_terms(safe: Safe) -> SafeTerms:
    """Return the terms on which a SAFE converts, after its MFN election.

    Raises:
        Refusal: ``mfn_election_missing`` if the SAFE has an MFN clause and nobody recorded whether it was used.
    """
    if not safe.terms.most_favoured_nation or safe.mfn_election == "declined":
        return safe.terms
    if safe.mfn_election is None:
        raise Refusal(
            "mfn_election_missing",
            f"{safe.instrument_id} is most favoured and its election is not recorded; record the terms that the holder "
            'elected, or "declined"',
            instrument_id=safe.instrument_id,
        )
    return safe.mfn_election


def _merge(found: dict[tuple[str, str], Claim], claim: Claim) -> None:
    key = (claim.instrument_id, claim.holder_id)
    earlier = found.get(key)
    if earlier is None:
        found[key] = claim
        return
    if _shape(earlier) != _shape(claim):
        raise Refusal(
            "terms_differ",
            f"two tranches of {claim.instrument_id} held by {claim.holder_id} have different terms; give them "
            "different instrument ids",
            instrument_id=claim.instrument_id,
        )
    part = None if earlier.cap_part is None or claim.cap_part is None else earlier.cap_part + claim.cap_part
    found[key] = replace(
        earlier, amount=earlier.amount + claim.amount, tranches=earlier.tranches + claim.tranches, cap_part=part
    )


def _shape(claim: Claim) -> tuple[object, ...]:
    return claim.cap, claim.fixed_part, claim.price_factor, claim.counted


def _safe_claim(safe: Safe, round_terms: RoundTerms) -> Claim:
    terms = elected_terms(safe)
    name = safe.instrument_id
    fixed = None if terms.ownership is None else proper_fraction(terms.ownership, f"ownership of {name}")
    amount = (
        ZERO if fixed is not None and safe.principal_usd == 0 else positive(safe.principal_usd, f"principal of {name}")
    )
    cap = None if terms.valuation_cap_usd is None else positive(terms.valuation_cap_usd, f"valuation_cap_usd of {name}")
    measured = cap is not None or fixed is not None
    definition = terms.capitalization_definition or round_terms.capitalization_definition
    return Claim(
        instrument_id=name,
        holder_id=safe.holder_id,
        amount=amount,
        tranches=(amount,),
        cap=cap,
        cap_part=claimed_part(terms, amount, name) if fixed is None else None,
        fixed_part=fixed,
        price_factor=ONE - proper_fraction(terms.discount or 0, f"discount of {name}"),
        counted=counted_by(definition, terms.conversion_timing) if measured and definition else None,
    )


def _note_claim(note: Note, round_terms: RoundTerms) -> Claim:
    terms = note.terms
    name = note.instrument_id
    if round_terms.closing_date is None:
        raise Refusal(
            "missing_convention",
            f"closing_date is not given, so the interest of {name} has no last day; state the day of closing",
            pointer="/closing_date",
            convention="closing_date",
        )
    amount = balance(note, round_terms.closing_date)
    cap = None if terms.valuation_cap_usd is None else positive(terms.valuation_cap_usd, f"valuation_cap_usd of {name}")
    definition = terms.capitalization_definition or round_terms.capitalization_definition
    return Claim(
        instrument_id=name,
        holder_id=note.holder_id,
        amount=amount,
        tranches=(amount,),
        cap=cap,
        cap_part=None if cap is None else amount / cap,
        fixed_part=None,
        price_factor=ONE - proper_fraction(terms.discount or 0, f"discount of {name}"),
        counted=counted_by(definition, "pre_money") if cap is not None and definition else None,
    )


def _refuse_small_cap(claim: Claim) -> None:
    if claim.cap is not None and claim.amount >= claim.cap:
        raise Refusal(
            "cap_below_principal",
            f"{claim.instrument_id} puts {show(claim.amount)} USD under a cap of {show(claim.cap)} USD, which asks for "
            "the whole company; the cap must be above the money",
            instrument_id=claim.instrument_id,
            amount_usd=show(claim.amount),
            valuation_cap_usd=show(claim.cap),
        )
