"""Conversion of preferred into common stock at its holder's choice.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from collections.abc import Sequence
from fractions import Fraction

from events.issuer import IssuerEvent, IssuerStockConverted
from marketplace.core.money import render_ratio
from marketplace.core.rounding import round_whole
from marketplace.domain.equity.issuer.rules import (
    get_class,
    raise_authorised,
    require_held,
    require_no_sale,
    require_shares,
    require_stakeholder,
)
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.equity.issuer.stock_commands import ConvertStock


def convert_stock(command: ConvertStock, state: Issuer) -> Sequence[IssuerEvent]:
    """Return the conversion of preferred stock at its conversion price; nothing if it is recorded."""
    known = state.acts.get(command.conversion_id)
    if isinstance(known, IssuerStockConverted) and all(
        getattr(known, name) == getattr(command, name) for name in ("holder_id", "class_id", "shares", "class_id_after")
    ):
        return []
    require_no_sale(state)
    require_stakeholder(state, command.holder_id)
    stock_class = get_class(state, command.class_id, ("preferred",))
    assert stock_class.price_usd is not None, "preferred stock has an issue price"
    assert stock_class.conversion_price_usd is not None, "preferred stock has a conversion price"
    get_class(state, command.class_id_after, ("common",))
    require_shares(command.shares, "/shares")
    require_held(state, command.holder_id, command.class_id, command.shares)
    exact = Fraction(command.shares) * stock_class.price_usd / stock_class.conversion_price_usd
    shares = round_whole(exact, "floor")
    return [
        *raise_authorised(state, command.class_id_after, shares, command.conversion_id),
        IssuerStockConverted(
            issuer_id=command.issuer_id,
            conversion_id=command.conversion_id,
            holder_id=command.holder_id,
            class_id=command.class_id,
            shares=command.shares,
            class_id_after=command.class_id_after,
            shares_exact=render_ratio(exact),
            shares_after=shares,
            reason="voluntary",
        ),
    ]
