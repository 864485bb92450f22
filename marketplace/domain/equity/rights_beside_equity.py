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
_COUNTED: Final = "The fee counts toward the limit of the account that pays it, and is refused above the limit"
_ABOVE: Final = "the account has no limit, or all that one person alone let go in 24 hours stays within it"
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
        f"never; refused unless {_ABOVE}. Stock counts at its fair value less what is paid for it. While no independent"
        " price of a share is known, it counts as above any limit. Preferred stock that the party converts counts at"
        " its preference less the value of the common stock. An instrument whose terms change counts at its principal"
        " and what may still accrue. So does a most-favoured election by which cap or discount may become worse,"
        " or that uses the clause up while better terms may be elected; terms that are only worse are not elected."
        " Principal that a sale does not pay in cash, and that of a note that is repaid early, count in full",
        _NOTHING,
    ),
    StatedRight(
        "agreement",
        "a party agrees to a proposal of others: it votes, or agrees by itself",
        "a person of the party",
        "another person of the party",
        f"{_ABOVE}. An agreement counts at what the party pays or gives up by the effects; a vote, at no less than its"
        " stake in the company, and in a sale its proceeds",
        f"{_ENDS}; nothing is agreed before",
    ),
    StatedRight(
        "mfn_window",
        "the holder of a most-favoured SAFE gets more time to elect the terms of a later instrument",
        "company",
        "nobody else, because it only lengthens the window of a notice that the market gave",
        "never; refused where it shortens the window, or lengthens it by more than 30 days in all",
        "the end of the window, then the holder has declined",
    ),
    StatedRight(
        "mfn_election",
        "the holder of a most-favoured SAFE takes the terms of a later instrument, once, or keeps its own",
        "holder",
        "nobody else, because the SAFE says so and the later instrument was signed with its notice",
        "never. Where cap or discount may become worse, or better terms may be elected, the principal counts toward the"
        " limit of its account, and is refused above the limit",
        "10 days from the notice, or the longer window, then the holder has declined",
    ),
    StatedRight(
        "maturity",
        "a matured note becomes stock or stays due, as its terms say",
        "nobody: it follows on the day after its last day of interest; company or holder, to try again",
        "nobody else, because company and holder signed the terms",
        "a sale is declared, or an auction decides on an order to which the shares would matter: then it waits",
        _NOTHING,
    ),
    StatedRight(
        "owed_shares",
        "stock, or a right to stock, that principal bought and the company owes is issued",
        "company, holder",
        "nobody else, because both signed the price",
        "never; refused while a sale is declared, or an auction decides on an order to which the shares would matter",
        _NOTHING,
    ),
    StatedRight(
        "debt",
        "a debt for principal that was clawed back after it became shares or money is paid",
        "holder",
        "nobody else, because it pays from its own account what the row `a correction of usage reverses principal` lets"
        " it owe",
        "never; refused to a suspended party",
        "it stays owed",
    ),
    StatedRight(
        "accrual",
        "principal accrues no more, or again; an agreement under which nothing accrued ends",
        "the platform",
        "nobody else",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "sale_payment",
        "a declared sale is paid",
        "company, each holder",
        "nobody else, because those who agreed to the sale agreed to its waterfall",
        "never; refused until the proceeds are on the company's account",
        "the last day of its `pay_days`, then the sale ends",
    ),
    StatedRight(
        "one_person",
        "a party refuses a proposal or takes an agreement back, exercises, answers a pro rata right, approves an order"
        " under its mandate, accepts or disputes a statement, concedes a dispute, or ends a grant",
        "a person of the party",
        "nobody else of the party",
        "never. What the party pays for stock and rights by such an act counts toward the limit of its account",
        _NOTHING,
    ),
    StatedRight(
        "suspended_holder",
        "a suspended party answers what runs out: a vote, a pro rata right, a most-favoured election, an exercise",
        "the platform, in its place; the party itself is refused (`party_suspended`)",
        "nobody else",
        "the party is cleared again in time",
        "its time runs on, so that a suspension stops no company. Then silence means what the row of the act says",
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
        "payee, unless it is suspended; platform",
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
        "its cash and principal are within the account's `order_limit_usd`, and all that single persons bought in 7"
        " days, less the cash that was freed since, is within `week_limit_usd`. A limit that is not set does not apply",
        _ENDS,
    ),
    StatedRight(
        "hold_fee",
        "a startup pays for a quote that it held and did not take",
        "startup, by holding it; it is due when the quote is released or expires",
        f"nobody else, because the schedule in force stated the fee. {_COUNTED}",
        "the quote is taken, the capacity ended, or the schedule waives it",
        _NOTHING,
    ),
    StatedRight(
        "early_end",
        "a grant ends early, and the side that ends it pays the other one; of a provider's fee, who pays a part of the"
        " price gets that part. If the buyer of resold hours gives them up, its seller has them again and gets the"
        " fee, if the seller's free money pays for them",
        "startup or provider, with the notice and the fee of the grant's end terms; the platform",
        f"nobody else, because the terms are those of the grant's issue. {_COUNTED}. Refused to a suspended party",
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
        "a payment provider confirms it; or all that was recorded for the account in 24 hours is within the account's"
        " limit, and all that this person recorded in 7 days within the schedule's. A limit that is not set does not"
        " apply",
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
        "nobody else; refused to the holder until the auction is carried out",
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
        "equity_on_credit",
        "the equity part of a statement on credit settles while its cash is not paid: the holder pays its part, and its"
        " principal accrues. The cash stays due",
        "nobody: it follows from the statement",
        "nobody else. The statement is accepted by silence, and the holder's mandate pays for it",
        "the startup pays the statement in time. Of a disputed statement it is what nobody disputes, and from the"
        " deadline of the dispute on what silence settles. Nothing of it settles once the company is sold, or among"
        " related parties without the mandate's `related_parties`",
        "7 days from the statement, then it settles; holder, startup and provider read it in the statement (`settled`)",
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
        "the platform decides the dispute; nobody disputes the statement after that",
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
        "30 days, then the middle between count and position settles. A decision stands while the money for it is"
        " missing, and is paid once the money is there",
    ),
    StatedRight(
        "correction",
        "readings or outages of a settled period change what it costs",
        "provider, platform",
        "if the period costs more than was settled, the same parties as for a statement. If it costs less, nobody else"
        " for the money; for principal, the holder as in the row `a correction of usage reverses principal`. A reading"
        " is voided or corrected only by the side whose meter counted it, under the source that reported it. The"
        " platform acts for the provider. Once the statement of the period is due, what a correction takes off it, and"
        " the service credit that follows, count toward the limit of the provider's account, and are refused above it",
        "a dispute settled, or the platform decided, what was metered then; a correction does not undo that",
        "7 days, then it counts as accepted",
    ),
    StatedRight(
        "resumption",
        "nodes that were reported as failed work again",
        "provider, platform",
        "nobody else, if it is dated back by at most an hour or, where the startup reported the outage, as far as"
        " readings reach; otherwise the platform",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "end_for_cause",
        "a grant ends without notice because its nodes do not work, or its startup reports that nothing came",
        "startup that pays for the grant, startup that uses it",
        "nobody else: the provider had 24 hours to repair them or to answer the evidence, or outages are chronic, or"
        " the last settled statement charges nearly nothing",
        "never",
        _NOTHING,
    ),
    StatedRight(
        "reserve",
        "a provider withdraws the tenth of a payment that covers corrections",
        "provider",
        "nobody; it pays corrections",
        "the party is suspended, and the platform moves what a court orders",
        "it is free 60 days after the payment; what a correction still needs is free once the correction is paid",
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
        "a provider gives a startup credit: up to a limit, new orders pay delivery by accepted statements, without cash"
        " set aside",
        "provider",
        "the startup, by an order that names the provider; only that provider's lots serve it",
        f"never; refused unless {_ABOVE}. Orders and grants keep the credit that they took before",
        _NOTHING,
    ),
    StatedRight(
        "bond_claim",
        "a bond pays for undelivered hours by the schedule at the grant's issue: the extra cost of a replacement, then"
        " a share of the price of failed hours, or of the hours that an early end leaves. If claims exceed the bond,"
        " they share it; the rest is kept on the provider's account and paid from it, or owed until it has money."
        " Startup, holder and a reseller that adds to the price get it as they bear the price",
        "startup that pays for the grant, within 30 days of the period or the early end",
        "provider; the platform decides what the provider contests",
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
        "reschedule",
        "a grant that cannot begin is shortened or moved to a later span; what was set aside for hours taken off is"
        " freed",
        "startup that pays",
        "nobody else, nor who uses the grant by transfer; refused unless the site is late or no node worked since the"
        " start, once the startup's meter counted anything, for a move that the mandate does not allow, and to a"
        " suspended party",
        "never",
        "without a choice the grant keeps its span",
    ),
    StatedRight(
        "service_line",
        "work is added to a grant",
        "provider",
        "the holder of the grant's equity, then the startup",
        "never",
        "the work is not agreed on",
    ),
    StatedRight(
        "grant_transfer",
        "another startup uses a grant",
        "startup",
        "nobody else. Refused where a mandate pays and allows no resale, and to a party related to the provider. What"
        " the rest of the grant costs, in cash and principal, counts toward the limit of its account, and is refused"
        " above the limit",
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
        "a buyer of the company takes over its grants, in cash",
        "company, with the sale",
        "the buyer and its vote, as for the sale",
        "never",
        "the grants end with the sale",
    ),
    StatedRight(
        "role", "a party gets another role", "the party, the platform", "the platform", "never", "the request waits"
    ),
    StatedRight(
        "relation",
        "a party is recorded as related to an owner or affiliate",
        "the party, the platform",
        "nobody else. The relation counts for others once the platform finds it or the other party states it too",
        "never; refused to a party while an auction has bound orders",
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
        "nobody else. The key that asks has every scope of the other key, and names the same person, issued it or is"
        " the platform's; among the platform's keys, operators count as persons. A key of the platform that issues one"
        " for a party also has `rights:decide` and `orders:sealed`."
        " Only the platform's first key names persons of the platform",
        "never",
        "it ends at its expiry, within a year",
    ),
)
"""The rows about what parties own, owe or may claim besides equity."""
