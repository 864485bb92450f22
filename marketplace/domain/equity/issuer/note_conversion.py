"""The price at which a matured note becomes stock: its cap over the company's shares.

The shares are those of the day of conversion, and at least those of its signing: stock that was bought back since then
does not make the note's shares dearer. Splits are counted.

Where the class has too few authorised shares, the conversion raises them: the company agreed to it when it signed, so
that it cannot withhold the shares.

Refusals in order: stock_class_unknown · conversion_empty · conversion_coarse.
"""

from datetime import date, datetime
from fractions import Fraction
from typing import NamedTuple

from events.types import NoteTerms
from marketplace.core.errors import Refusal
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.instrument.notes import sum_run
from marketplace.domain.equity.instrument.state import Run
from marketplace.domain.equity.issuer.rules import get_class, require_no_sale
from marketplace.domain.equity.issuer.state import Issuer, capitalization_of
from marketplace.domain.equity.whole_shares import require_fine
from marketplace.equity.capitalization import counted_by, existing_shares


class MaturedRun(NamedTuple):
    """A run of a note's principal that converts.

    Attributes:
        class_id: Its class of stock.
        matures_on: Its last day of interest.
        price: Dollars per share, exact.
        amount: Dollars with interest, exact.
        shares: Shares.
    """

    class_id: str
    matures_on: date
    price: Fraction
    amount: Fraction
    shares: int


def price_matured(issuer: Issuer, instrument_id: str, run: Run, at: datetime) -> MaturedRun:
    """Return the price, dollars and shares of a matured run that converts at its cap.

    Args:
        issuer: The company.
        instrument_id: The note.
        run: The run, whose terms let it convert at maturity.
        at: Now.

    Raises:
        Refusal: ``sale_declared`` · ``stock_class_unknown`` · ``conversion_empty`` · ``conversion_coarse``.
    """
    require_no_sale(issuer)
    terms = run.terms
    assert isinstance(terms, NoteTerms), "the runs of a note are notes"
    become = terms.at_maturity
    assert become is not None, "the run converts at maturity"
    get_class(issuer, become.class_id)
    counted = counted_by(become.capitalization_definition, "pre_money")
    signed = issuer.shares_at_signing.get((instrument_id, become.capitalization_definition), Fraction(0))
    company = max(existing_shares(capitalization_of(issuer, at), counted), signed * issuer.split_ratio)
    amount = sum_run(instrument_id, run, at.date())
    assert terms.valuation_cap_usd is not None, "a note that converts at maturity has a cap"
    price = Fraction(terms.valuation_cap_usd) / company if company else Fraction(0)
    shares = round_whole(amount / price, become.share_rounding) if price else 0
    if not shares:
        raise Refusal(
            "conversion_empty",
            f"{instrument_id} buys no whole share at its cap over {company} shares; it stays due",
            instrument_id=instrument_id,
        )
    require_fine(instrument_id, amount / price, shares, price)
    return MaturedRun(become.class_id, terms.matures_on, price, amount, shares)
