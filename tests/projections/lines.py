"""A service line of each end: one is declined, one is worked, corrected, taken back, settled and closed."""

from events import account, grant, statement
from events import service_line as line
from events.usage import UsageIdentified
from tests.projections.market import CASH, FUND, PAID, PROVIDER, START, STARTUP
from tests.projections.story import HOUR, Story, make_id, usd

LINE = make_id("svl", 1)
HOLD = make_id("hld", 91)
CHARGES = statement.Charges(
    gpu_seconds=0,
    service_hours=usd("1.5"),
    provider_usd=usd("3.00"),
    cash_usd=usd("3.00"),
    holder_usd=usd("0.00"),
    principal_usd=usd("0.00"),
)


def make_hours(number: int, hours: str) -> line.HoursReading:
    return line.HoursReading(reading_id=f"h{number}", start=START, end=START + 2 * HOUR, hours=usd(hours))


def tell_lines(story: Story, number: int) -> None:
    """Agree on two hours beside a grant, and work one and a half; another proposal is declined."""
    grant_id = make_id("grt", number)
    named = {"service_line_id": LINE, "grant_id": grant_id}
    other = {"service_line_id": make_id("svl", 2), "grant_id": grant_id}
    parties = {"startup_id": STARTUP, "provider_id": PROVIDER}
    offer = {"name": "engineering support", "price_usd_per_hour": usd("2"), "hours": usd("2"), "workers": 1}
    story.tell(line.ServiceLineProposed(**named, **parties, **offer, holder_id=FUND))
    story.tell(line.ServiceLineProposed(**other, **parties, **offer, holder_id=None))
    story.tell(line.ServiceLineDeclined(**other, by="startup", reason="too dear"))
    story.tell(line.ServiceLineApproved(**named, holder_id=FUND))
    agreed = {"at": START, "hours": usd("2"), "hold_id": HOLD, "cash_commitment_usd": usd("4.00")}
    startup = {"account_id": CASH, "party_id": STARTUP, "hold_id": HOLD}
    story.tell(
        line.ServiceLineAgreed(**named, **parties, **agreed),
        grant.GrantServiceLineAdded(**named),
        account.AccountHoldPlaced(**startup, amount_usd=usd("4.00"), purpose=LINE),
    )
    _tell_work(story, named)
    issued = {"statement_id": make_id("stm", 93), **named}
    story.tell(
        statement.StatementIssued(
            **issued,
            **parties,
            period_start=START,
            period_end=START + 24 * HOUR,
            charges=CHARGES,
            accept_until=START + 200 * HOUR,
        )
    )
    disputed = statement.StatementDisputed(
        statement_id=issued["statement_id"],
        grant_id=grant_id,
        gpu_seconds_counted=0,
        hours_counted=usd("1"),
        reason="a break",
        answer_until=START + 300 * HOUR,
    )
    story.tell(disputed, actor=STARTUP)
    paid = {"amount_usd": CHARGES.cash_usd, "cause": issued["statement_id"]}
    story.tell(
        statement.StatementAccepted(**issued, charges=CHARGES, by="resolution"),
        account.AccountHoldCaptured(**startup, **paid, payee_account_id=PAID),
        account.AccountCredited(account_id=PAID, party_id=PROVIDER, payer_account_id=CASH, **paid),
    )
    story.tell(
        line.ServiceLineClosed(**named, hours=CHARGES.service_hours),
        account.AccountHoldReleased(**startup, amount_usd=usd("1.00"), reason="the grant ended"),
    )


def _tell_work(story: Story, named: dict[str, str]) -> None:
    source = {**named, "source": "sheet"}
    first, second = make_hours(1, "1"), make_hours(2, "0.25")
    used = {"party_id": PROVIDER, "source": "sheet", "grant_id": LINE, "reading_ids": ("h1", "h2")}
    story.tell(
        line.ServiceLineReported(**source, readings=(first, second)),
        UsageIdentified(usage_id=make_id("usg", 91), **used),
    )
    story.tell(line.ServiceLineLimited(**named, runs=(line.Run(start=START, end=START + 24 * HOUR),)))
    story.tell(line.ServiceLineVoided(**source, reading=second, reason="wrong ticket"))
    after = make_hours(1, "1.5")
    story.tell(line.ServiceLineCorrected(**source, before=first, after=after, reason="a slip"))
