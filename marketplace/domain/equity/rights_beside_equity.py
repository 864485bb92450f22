"""The rows of the table of rights for money, mandates, delivery, roles and keys.

The deciders and use cases of these acts ask for the agreements themselves. An act on an issuer finds its row by the
events that it records: `marketplace.domain.equity.rights`.
"""

from typing import Final, NamedTuple


class StatedRight(NamedTuple):
    """One row of the table of rights.

    Attributes:
        name: Its name.
        act: What is done.
        proposes: Who may propose it.
        agrees: Who must agree.
        unless: When some or all of them need not agree.
        silence: How long it may wait, and what silence means.
    """

    name: str
    act: str
    proposes: str
    agrees: str
    unless: str
    silence: str


_ENDS: Final = "72 hours, then the request ends"
_NOTHING: Final = "nothing waits"
_COUNTED: Final = "It counts toward the limit of the account of who pays it, and is refused above it"
_ABOVE: Final = "it is within the account's limit, with what one person let go in 24 hours; or there is none"
BESIDE_EQUITY: Final = (
    StatedRight(
        "withdrawal",
        "money is withdrawn",
        "a person of the party, the platform",
        "another person of the party",
        f"{_ABOVE}; or the party is suspended, and the platform moves what a court orders",
        _ENDS,
    ),
    StatedRight(
        "hold",
        "money is held for another account",
        "a person of the payer, never the platform",
        "another person of the payer",
        _ABOVE,
        _ENDS,
    ),
    StatedRight(
        "proceeds",
        "a sale of the company is declared, which its account pays",
        "a person of the company",
        "nobody else, besides those who agree to the sale",
        f"never; refused unless {_ABOVE}",
        _NOTHING,
    ),
    StatedRight(
        "gift",
        "a party gives up stock, a right to stock, or principal",
        "a person of the party, who proposes it or agrees to it",
        "nobody else, besides those who agree to the act",
        f"never; refused unless {_ABOVE}. Stock counts at its fair value less what is paid for it, and above any limit"
        " while no independent price of a share is known; preferred stock that it converts, at its preference less the"
        " value of the common stock; an instrument whose terms change, at its principal and what may still accrue;"
        " principal that a sale does not pay in cash, in full",
        _NOTHING,
    ),
    StatedRight(
        "one_person",
        "a party votes, exercises, answers a pro rata right, approves an order under its mandate, accepts or"
        " disputes a statement, concedes a dispute, or ends a grant",
        "a person of the party",
        "nobody else of the party",
        "never; what it pays by that for stock and rights counts toward the limit of its account",
        _NOTHING,
    ),
    StatedRight(
        "capture",
        "held money is paid to the account that the hold names",
        "payer, payee, platform; only the platform while the payer is suspended",
        "nobody else: the hold is the payer's agreement",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "hold_release",
        "held money goes back to the payer",
        "payee, platform",
        "nobody else",
        "never",
        "it goes back when the hold expires",
    ),
    StatedRight(
        "limit",
        "an account's limits change",
        "a person of the party, the platform",
        "another person of the party",
        "it is the first one",
        _ENDS,
    ),
    StatedRight(
        "purchase",
        "capacity or hours of work are bought: an order, a held quote, a service line",
        "a person of the party, the platform",
        "another person of the party; a quote and a service line are refused instead",
        "its cash and principal are within the account's `order_limit_usd`, and within `week_limit_usd` with what"
        " single persons bought in 7 days, less cash that was freed since; or there are none",
        _ENDS,
    ),
    StatedRight(
        "hold_fee",
        "a startup pays for a quote that it held and did not take",
        "startup, by holding it; it is due when the quote is released or expires",
        f"nobody else: the schedule in force stated it. {_COUNTED}",
        "the quote is taken, the capacity ended, or the schedule waives it",
        _NOTHING,
    ),
    StatedRight(
        "early_end",
        "a grant ends early, and the side that ends it pays the other one",
        "startup, provider, each with notice and the fee of the grant's end terms; the platform",
        f"nobody else: the terms are those of the grant's issue. {_COUNTED}; refused to a suspended party",
        "for cause, at once and without a fee",
        _NOTHING,
    ),
    StatedRight(
        "schedule",
        "the least order value, quotas and fees change for what begins later",
        "the platform",
        "nobody else",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "deposit",
        "money from outside is recorded, once for each reference of the bank",
        "a person of the platform",
        "another person of the platform",
        "a payment provider confirms it; or it is within the account's limit, with what was recorded for the account in"
        " 24 hours, and within the schedule's, with what this person recorded in 7 days; or there is none",
        _ENDS,
    ),
    StatedRight(
        "mandate",
        "a cash mandate is granted or amended",
        "a person of the holder, never the platform",
        "another person of the holder",
        _ABOVE,
        _ENDS,
    ),
    StatedRight(
        "mandate_order",
        "an order or a cash investment draws on a mandate",
        "startup",
        "the holder",
        "the issuer draws no more than `approval_above_usd` in all without the holder's approval",
        "`order_days_max` days, then the order is not paid; a proposal for cash, 14 days",
    ),
    StatedRight(
        "mandate_bound",
        "a mandate is amended or revoked, or an order refused, while an auction decides on an order that it pays for",
        "the platform",
        "nobody else; refused to the holder until the auction is completed",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "statement",
        "a statement settles: it is paid and its principal accrues",
        "provider, by its meter",
        "the startup; the holder where its money pays a part",
        "the mandate says `startup_accepts_alone`",
        "7 days, then it counts as accepted",
    ),
    StatedRight(
        "undisputed",
        "what nobody disputes of a disputed statement is paid",
        "startup or the holder that pays, by its count; the startup's meter",
        "all who pay: each accepts or disputes",
        "never",
        "7 days from the statement, then it is paid",
    ),
    StatedRight(
        "concession",
        "the rest of a disputed statement settles at the lowest count",
        "provider",
        "the startup and the holder that pays: each accepts or disputes",
        "the platform decides it; nobody disputes it after that",
        "7 days from the count, then it settles at the count if the provider was silent",
    ),
    StatedRight(
        "counter_offer",
        "a disputed statement settles at an amount between count and position",
        "startup, the holder that pays, provider, each while it is awaited, six answers in all",
        "the other side; each payer with a lower count",
        "never",
        "7 days, then the last word of the other side settles: its offer, else its count or position",
    ),
    StatedRight(
        "partial_concession",
        "a side of a dispute gives a part up for ever, three times at most",
        "startup, the holder that pays: it pays the part; provider: it charges less",
        "nobody else",
        "never",
        "no deadline moves",
    ),
    StatedRight(
        "last_resort",
        "the platform decides a disputed statement for ever",
        "startup, the holder that pays, provider, after an answer of each side or 14 days; the platform",
        "the platform",
        "never",
        "30 days, then the middle between count and position settles",
    ),
    StatedRight(
        "correction",
        "readings or outages of a settled period change what it costs",
        "provider, platform",
        "nobody else if it costs less: the side whose meter counted it voids or corrects a reading, its own source's;"
        " what it takes off a period whose statement is due, with the service credit that follows, counts toward the"
        " limit of the provider's account, and is refused above it. Principal that became shares or money"
        " falls only with the holder's agreement. As for a statement if it costs more than was settled",
        "a dispute settled what was metered then: a correction does not undo it, nor what the platform decided",
        "7 days, then it counts as accepted",
    ),
    StatedRight(
        "resumption",
        "nodes that were reported as failed work again",
        "provider, platform",
        "nobody else within an hour; the platform if it is dated back further",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "end_for_cause",
        "a grant ends without notice because its nodes do not work",
        "startup",
        "nobody else: the provider had 24 hours to repair them or to answer the evidence",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "reserve",
        "a provider withdraws the tenth of a payment that covers corrections",
        "provider",
        "nobody; it pays corrections",
        "the party is suspended, and the platform moves what a court orders",
        "60 days after the payment it is free; what a correction still needs, once it is paid",
    ),
    StatedRight(
        "bond",
        "a provider sets money apart for those to whom it does not deliver",
        "provider, the platform",
        "nobody else",
        f"never; refused unless {_ABOVE}",
        _NOTHING,
    ),
    StatedRight(
        "credit",
        "a provider lets a startup's new orders pay a part of its delivery by accepted statements alone, up to a limit",
        "provider",
        "the startup, by an order that names the provider; only that provider's lots serve it",
        f"never; what orders and grants took before stays theirs; refused unless {_ABOVE}",
        _NOTHING,
    ),
    StatedRight(
        "bond_claim",
        "a bond pays for undelivered hours by the schedule at the grant's issue: what a replacement costs more, then a"
        " share of the price of failed hours, or of what an early end leaves; claims above the bond share it, and the"
        " rest is owed",
        "startup that pays for the grant, within 30 days of the period or the early end",
        "provider; what it contests, the platform decides",
        "never; refused among related parties and within the cure time",
        "72 hours, then the claim is conceded; 30 days for the platform, then the middle is due",
    ),
    StatedRight(
        "bond_release",
        "what a bond has left goes back to its provider",
        "provider, the platform",
        "nobody else",
        "never; refused within 30 days of its term or its lot's end, and while a claim on it is open or owed",
        _NOTHING,
    ),
    StatedRight(
        "service_line",
        "work is added to a grant",
        "provider",
        "the holder of the grant's equity, then the startup",
        "never",
        "it is not agreed on",
    ),
    StatedRight(
        "grant_transfer",
        "another startup uses a grant",
        "startup",
        "nobody else; refused where a mandate pays and allows no resale, and to a party related to the provider. What"
        " the startup has set aside for it counts toward the limit of its account, and is refused above it",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "substitution",
        "a grant moves to another pool",
        "provider, platform",
        "nobody else; refused where the pool does not meet the order and the mandate",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "assumption",
        "a buyer of the company goes on with its grants, in cash",
        "company, with the sale",
        "the buyer and its vote, as for the sale",
        "never",
        "they end with the sale",
    ),
    StatedRight(
        "role", "a party gets another role", "the party, the platform", "the platform", "never", "the request waits"
    ),
    StatedRight(
        "relation",
        "a party is recorded as related to an owner or affiliate",
        "the party, the platform",
        "nobody else; it counts for others once the platform finds it or the other party states it too",
        "never",
        "a statement of one party counts for that party alone",
    ),
    StatedRight(
        "relation_end",
        "a relation ends",
        "the platform; the party that alone states it",
        "nobody else",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "related_trade",
        "a mandate pays for a trade whose buyer is related to who sells or delivers",
        "startup, by a held quote",
        "the holder, by `related_parties` in the mandate; refused without",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "key",
        "a key is issued or revoked",
        "the party, the platform",
        "nobody else; the key that asks has every scope of it, and names the same person or is the platform's, whose"
        " first key alone names persons of the platform",
        "never",
        "it ends at its expiry, within a year",
    ),
)
"""What parties own, owe or may claim besides equity."""
