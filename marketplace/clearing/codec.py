"""Canonical JSON of books and clearings, and the hashes that a certificate holds.

Two books that mean the same have the same canonical form: decimals are written without trailing zeros and lot ids are
sorted. Hashes are SHA-256 of the JSON with sorted keys, no spaces, UTF-8.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

import msgspec

from marketplace.clearing.book import check_book
from marketplace.clearing.model import (
    Bid,
    Book,
    Certificate,
    Clearing,
    Decision,
    Limit,
    Lot,
    Match,
    Order,
    Pool,
    PriceRange,
    PriceRun,
    Remedy,
    RulePrice,
    SecondBest,
    Use,
)
from marketplace.core.errors import Refusal

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_FRACTION: Final = re.compile(r"-?[0-9]{1,40}(/[1-9][0-9]{0,40})?")


def render_decimal(value: Decimal) -> str:
    """Write a decimal plainly, without exponent or trailing zeros."""
    if value == 0:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value's canonical text, in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def render_book(book: Book) -> dict[str, Any]:
    """Render a book as JSON-able values in canonical form."""
    return {
        "period_hours": book.period_hours,
        "periods": book.periods,
        "pools": [{"pool_id": pool.pool_id, "gpus_per_node": pool.gpus_per_node} for pool in book.pools],
        "lots": [_render_lot(lot) for lot in book.lots],
        "orders": [_render_order(order) for order in book.orders],
        **({"limits": [_render_limit(limit) for limit in book.limits]} if book.limits else {}),
        **({"backstops": [_render_order(order) for order in book.backstops]} if book.backstops else {}),
    }


def hash_book(book: Book) -> str:
    """Return the hash by which a certificate names a book."""
    return hash_json(render_book(book))


def _render_lot(lot: Lot) -> dict[str, Any]:
    return {
        "lot_id": lot.lot_id,
        "pool_id": lot.pool_id,
        "nodes": lot.nodes,
        "from_period": lot.from_period,
        "to_period": lot.to_period,
        "ask_usd_per_gpu_hour": render_decimal(lot.ask_usd_per_gpu_hour),
    }


def _render_order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "nodes": order.nodes,
        "duration_periods": order.duration_periods,
        "start_earliest": order.start_earliest,
        "start_latest": order.start_latest,
        "bids": [
            {
                "pool_id": bid.pool_id,
                "value_usd_per_gpu_hour": render_decimal(bid.value_usd_per_gpu_hour),
                "lot_ids": None if bid.lot_ids is None else sorted(bid.lot_ids),
                "mandate_id": bid.mandate_id,
                **_render_uses(bid),
                **({} if bid.sizes is None else {"sizes": sorted(bid.sizes)}),
            }
            for bid in order.bids
        ],
        **({"sizes": sorted(order.sizes)} if order.sizes else {}),
        **_present(group_id=order.group_id, parent_id=order.parent_id),
        **({"conflict": list(order.conflict)} if order.conflict else {}),
        **({"remedies": [_render_remedy(remedy) for remedy in order.remedies]} if order.remedies else {}),
    }


def _render_remedy(remedy: Remedy) -> dict[str, Any]:
    return {"wish": remedy.wish, "values": list(remedy.values)}


def _present(**members: Any) -> dict[str, Any]:
    """Leave out what is not given, so that books without it keep their hash."""
    return {name: value for name, value in members.items() if value is not None}


def _render_uses(bid: Bid) -> dict[str, Any]:
    if not bid.uses:
        return {}
    uses = sorted(bid.uses, key=lambda use: use.limit_id)
    return {
        "uses": [
            {"limit_id": use.limit_id, "amount_per_node_period": render_decimal(use.amount_per_node_period)}
            for use in uses
        ]
    }


def _render_limit(limit: Limit) -> dict[str, Any]:
    return {
        "limit_id": limit.limit_id,
        "amount": render_decimal(limit.amount),
        **_present(from_period=limit.from_period, to_period=limit.to_period),
    }


def parse_book(value: Mapping[str, Any]) -> Book:
    """Read a book from JSON values and check it.

    Raises:
        Refusal: `malformed_book` where members are missing or of another type, else as `check_book`.
    """
    try:
        book = Book(
            value["period_hours"],
            value["periods"],
            tuple(Pool(row["pool_id"], row["gpus_per_node"]) for row in value["pools"]),
            tuple(_parse_lot(row) for row in value["lots"]),
            tuple(_parse_order(row) for row in value["orders"]),
            tuple(
                Limit(row["limit_id"], Decimal(row["amount"]), row.get("from_period"), row.get("to_period"))
                for row in value.get("limits", ())
            ),
            tuple(_parse_order(row) for row in value.get("backstops", ())),
        )
        check_book(book)
    except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise Refusal(
            "malformed_book", f"the book cannot be read ({error!r}); export it again with `marketplace auction export`"
        ) from error
    return book


def _parse_lot(row: Mapping[str, Any]) -> Lot:
    return Lot(
        row["lot_id"],
        row["pool_id"],
        row["nodes"],
        row["from_period"],
        row["to_period"],
        Decimal(row["ask_usd_per_gpu_hour"]),
    )


def _parse_order(row: Mapping[str, Any]) -> Order:
    return Order(
        row["order_id"],
        row["nodes"],
        row["duration_periods"],
        row["start_earliest"],
        row["start_latest"],
        tuple(
            Bid(
                bid["pool_id"],
                Decimal(bid["value_usd_per_gpu_hour"]),
                None if bid["lot_ids"] is None else tuple(bid["lot_ids"]),
                bid["mandate_id"],
                tuple(Use(use["limit_id"], Decimal(use["amount_per_node_period"])) for use in bid.get("uses", ())),
                None if bid.get("sizes") is None else tuple(bid["sizes"]),
            )
            for bid in row["bids"]
        ),
        tuple(row.get("sizes", ())),
        row.get("group_id"),
        row.get("parent_id"),
        tuple(row.get("conflict", ())),
        tuple(Remedy(remedy["wish"], tuple(remedy["values"])) for remedy in row.get("remedies", ())),
    )


def render_prices(prices: Sequence[PriceRun]) -> list[dict[str, Any]]:
    """Render the published prices as JSON-able values."""
    return [
        {
            "pool_id": run.pool_id,
            "from_period": run.from_period,
            "to_period": run.to_period,
            "price_usd_per_gpu_hour": render_decimal(run.price_usd_per_gpu_hour),
        }
        for run in prices
    ]


def render_decisions(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Render the decisions as JSON-able values; a mean price is a fraction such as `7/3`."""
    return [
        {
            "order_id": decision.order_id,
            "match": None if decision.match is None else _render_match(decision.match),
            "reasons": [
                {"code": reason.code, "text": reason.text, "facts": _render_facts(reason.facts)}
                for reason in decision.reasons
            ],
            "price_to_win_usd_per_gpu_hour": None
            if decision.price_to_win_usd_per_gpu_hour is None
            else render_decimal(decision.price_to_win_usd_per_gpu_hour),
            "regret_usd": render_decimal(decision.regret_usd),
            "price_to_win_range": _render_range(decision.price_to_win_range),
            "second_best": _render_second(decision.second_best),
        }
        for decision in decisions
    ]


def _render_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """Render facts with dollars in the canonical form. Events write them with two places, which is the same number."""
    return {
        name: render_decimal(Decimal(text)) if "usd" in name.split("_") and _DECIMAL.fullmatch(text) else text
        for name, text in facts.items()
    }


def _render_range(found: PriceRange | None) -> dict[str, Any] | None:
    if found is None:
        return None
    upper = found.upper_usd_per_gpu_hour
    return {
        "guarantee": found.guarantee,
        "lower_usd_per_gpu_hour": render_decimal(found.lower_usd_per_gpu_hour),
        "upper_usd_per_gpu_hour": None if upper is None else render_decimal(upper),
    }


def _render_second(found: SecondBest | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "pool_id": found.pool_id,
        "mandate_id": found.mandate_id,
        "nodes": found.nodes,
        "start_period": found.start_period,
        "surplus_difference_usd": render_decimal(found.surplus_difference_usd),
    }


def _render_match(match: Match) -> dict[str, Any]:
    return {
        "pool_id": match.pool_id,
        "mandate_id": match.mandate_id,
        "nodes": match.nodes,
        "start_period": match.start_period,
        "end_period": match.end_period,
        "lots": [
            {
                "lot_id": share.lot_id,
                "nodes": share.nodes,
                "from_period": share.from_period,
                "to_period": share.to_period,
            }
            for share in match.lots
        ],
        "value_usd_per_gpu_hour": render_decimal(match.value_usd_per_gpu_hour),
        "price_usd_per_gpu_hour": str(match.price_usd_per_gpu_hour),
        "total_usd": render_decimal(match.total_usd),
    }


def render_clearing(clearing: Clearing) -> dict[str, Any]:
    """Render a whole result as JSON-able values, enough for `verify` on another machine."""
    certificate = clearing.certificate
    return {
        "prices": render_prices(clearing.prices),
        "decisions": render_decisions(clearing.decisions),
        **({"backstops": render_decisions(clearing.backstops)} if clearing.backstops else {}),
        "shadow_prices": [
            {
                "lot_id": run.lot_id,
                "from_period": run.from_period,
                "to_period": run.to_period,
                "price_usd_per_gpu_hour": render_decimal(run.price_usd_per_gpu_hour),
            }
            for run in clearing.shadow_prices
        ],
        **(
            {"rule_prices": [_render_rule_price(price) for price in clearing.rule_prices]}
            if clearing.rule_prices
            else {}
        ),
        "idle_supply": [
            {
                "lot_id": idle.lot_id,
                "nodes": idle.nodes,
                "from_period": idle.from_period,
                "to_period": idle.to_period,
                "ask_usd_per_gpu_hour": render_decimal(idle.ask_usd_per_gpu_hour),
                "price_usd_per_gpu_hour": render_decimal(idle.price_usd_per_gpu_hour),
                "cause": idle.cause,
            }
            for idle in clearing.idle_supply
        ],
        "certificate": {
            "book_hash": certificate.book_hash,
            "engine_version": certificate.engine_version,
            "seed": certificate.seed,
            "iterations": certificate.iterations,
            "welfare_usd": render_decimal(certificate.welfare_usd),
            "lp_bound_usd": render_decimal(certificate.lp_bound_usd),
            "gap": render_decimal(certificate.gap),
            "prices_hash": certificate.prices_hash,
            "decisions_hash": certificate.decisions_hash,
            "idle_supply_usd": render_decimal(certificate.idle_supply_usd),
            **_render_price_loss(certificate),
        },
    }


def _render_price_loss(certificate: Certificate) -> dict[str, Any]:
    share, most = certificate.price_loss_max, certificate.dual_bound_usd
    return _present(
        price_loss_max=None if share is None else render_decimal(share),
        price_loss_kind=certificate.price_loss_kind,
        dual_bound_usd=None if most is None else render_decimal(most),
    )


def _render_rule_price(price: RulePrice) -> dict[str, Any]:
    return {
        "rule": price.rule,
        "rule_id": price.rule_id,
        "price_usd": render_decimal(price.price_usd),
        **_present(from_period=price.from_period, to_period=price.to_period),
    }


def parse_clearing(value: Mapping[str, Any]) -> Clearing:
    """Read a result that `render_clearing` wrote.

    Raises:
        Refusal: `malformed_clearing` where members are missing or of another type.
    """
    try:
        return msgspec.convert(value, Clearing, strict=True, dec_hook=_parse_fraction)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refusal(
            "malformed_clearing",
            f"the result cannot be read ({error}); export it again with `marketplace auction export`",
        ) from error


def _parse_fraction(kind: type, value: Any) -> Fraction:
    if kind is not Fraction or not isinstance(value, str) or not _FRACTION.fullmatch(value):
        raise ValueError(f"{value!r} is no fraction such as 7/3")
    return Fraction(value)
