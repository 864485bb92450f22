"""What every command only looks at, and why no guard is needed for it; see ADR 17.

`tests/support/market/look_check.py` holds every command that a test of the runtime runs to this list.

- ``fixed``: what is looked at never changes, such as an owner or terms as issued.
- ``final``: once so it stays, such as a match, an accepted statement or a settled auction.
- ``other``: who changes it does not look at what the command writes, so that one was before the other.
- ``met``: who changes it writes something that the command writes too.
- ``again``: it is looked at again, once the log holds both.
"""

from typing import Final

WHY: Final = frozenset({"fixed", "final", "other", "met", "again"})
EVERYWHERE: Final = {"party": "other", "command": "final", "register": "again", "schedule": "other"}
"""Reasons that hold for every command that looks at such an aggregate."""

LOOKS: Final[dict[str, dict[str, str]]] = {
    "adjustments:adjust_statement": {
        "grant": "fixed",
        "instrument": "other",
        "issuer": "again",
        "statement": "met",
        "usage": "again",
    },
    "auctions:carry_out_match": {
        "account": "met",
        "issuer": "met",
        "lot": "met",
        "order": "final",
        "pricelist": "fixed",
    },
    "auctions:carry_out_rejection": {"account": "met", "issuer": "met", "mandate": "final"},
    "auctions:lock_auction": {"auction": "final"},
    "auctions:lock_order": {"auction": "again", "issuer": "met", "mandate": "fixed"},
    "consents:agree": {
        "account": "other",
        "grant": "again",
        "instrument": "again",
        "issuer": "again",
        "pool": "fixed",
        "statement": "again",
    },
    "consents:carry_out": {
        "account": "again",
        "grant": "again",
        "instrument": "again",
        "issuer": "again",
        "mandate": "again",
        "pool": "fixed",
        "statement": "again",
    },
    "dilution:limit_dilution": {"instrument": "met"},
    "grants:end_sold_grant": {"account": "met", "issuer": "final", "lot": "final", "pool": "met", "usage": "met"},
    "grants:finish_grant": {
        "account": "met",
        "grant": "met",
        "instrument": "met",
        "lot": "final",
        "mandate": "met",
        "pool": "met",
        "statement": "again",
    },
    "grants:terminate_grant": {"account": "met", "issuer": "met", "lot": "final", "pool": "met", "usage": "met"},
    "grants:transfer_grant": {"mandate": "other", "pool": "again"},
    "holds:place_hold": {"account": "fixed"},
    "holds:release_hold": {"account": "fixed"},
    "instruments:_act": {"account": "again", "instrument": "again", "issuer": "again"},
    "instruments:_change": {"issuer": "met"},
    "issuers:pay_distribution": {
        "account": "met",
        "grant": "other",
        "instrument": "met",
        "statement": "met",
        "usage": "other",
    },
    "issuers:price_financing": {"instrument": "again"},
    "mandates:amend_mandate": {"account": "other", "mandate": "again", "pricelist": "fixed"},
    "mandates:revoke_mandate": {"account": "other"},
    "mandates:grant_mandate": {"pricelist": "fixed"},
    "notes:mature_note": {"issuer": "met"},
    "orders:amend_order": {"issuer": "again", "order": "again", "pricelist": "fixed"},
    "orders:cancel_order": {"account": "met", "issuer": "met", "mandate": "final"},
    "orders:end_mandate": {"issuer": "met", "mandate": "final"},
    "orders:expire_order": {"account": "met", "issuer": "met", "mandate": "final"},
    "orders:place_order": {"account": "other", "issuer": "again", "order": "again", "pricelist": "fixed"},
    "quotes:expire_quote": {"issuer": "met", "site": "met"},
    "quotes:hold_quote": {"auction": "final", "grant": "again", "issuer": "again", "lot": "met", "pricelist": "fixed"},
    "quotes:release_quote": {"issuer": "met", "site": "met"},
    "quotes:take_quote": {"account": "met", "issuer": "met", "lot": "fixed", "pool": "fixed", "pricelist": "fixed"},
    "resale:resell_grant": {"grant": "again", "mandate": "fixed"},
    "service_hours:report_hours": {"grant": "met"},
    "service_hours:correct_hours": {"grant": "met"},
    "service_hours:void_hours": {"grant": "met"},
    "service_lines:agree_service_line": {"instrument": "other"},
    "service_lines:propose_service_line": {"grant": "again"},
    "service_statements:adjust_service_statement": {
        "grant": "fixed",
        "instrument": "other",
        "issuer": "met",
        "service_line": "again",
        "statement": "met",
    },
    "service_statements:issue_service_statement": {"grant": "fixed", "service_line": "again", "statement": "met"},
    "allocations:respread_usage": {"grant": "met", "usage": "other"},
    "allocations:spread_usage": {"grant": "met", "usage": "other"},
    "statements:accept_statement": {
        "account": "met",
        "grant": "again",
        "issuer": "again",
        "mandate": "other",
        "pool": "fixed",
        "service_line": "fixed",
        "statement": "again",
    },
    "statements:dispute_statement": {"grant": "fixed"},
    "statements:issue_statement": {
        "grant": "fixed",
        "instrument": "other",
        "lot": "other",
        "pool": "other",
        "site": "other",
        "statement": "met",
        "usage": "again",
    },
    "statements:resolve_statement": {
        "account": "met",
        "grant": "again",
        "issuer": "again",
        "mandate": "other",
        "pool": "fixed",
        "service_line": "fixed",
        "statement": "again",
        "usage": "again",
    },
    "substitution:substitute_grant": {"issuer": "met", "lot": "met", "mandate": "other", "order": "final"},
    "inventory:list_lot": {"mandate": "fixed", "site": "again"},
    "inventory:open_pool": {"site": "fixed"},
    "inventory:_change": {"auction": "other"},
    "inventory:reschedule_lot": {"auction": "final"},
    "inventory:withdraw_lot": {"auction": "final", "pool": "met"},
    "usage:report_usage": {"grant": "met", "usage": "final"},
    "usage:correct_usage": {"grant": "met"},
    "usage:evidence_usage": {"grant": "fixed"},
    "usage:void_usage": {"grant": "met"},
    "warrants:vest_warrants": {"grant": "again", "pool": "fixed", "statement": "again"},
}
"""By command (the module of its use case, and its name) and aggregate."""
