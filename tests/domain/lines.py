"""A service line in every state, and the commands that a walk or a table of refusals begins with."""

from events.service_line import (
    HoursReading,
    ServiceLineAgreed,
    ServiceLineApproved,
    ServiceLineClosed,
    ServiceLineDeclined,
    ServiceLineProposed,
    ServiceLineReported,
)
from marketplace.domain.billing.service_line_commands import (
    AgreeServiceLine,
    ApproveServiceLine,
    CloseServiceLine,
    CorrectHours,
    DeclineServiceLine,
    LimitServiceLine,
    ProposeServiceLine,
    ReportHours,
    VoidHours,
)
from tests.domain.build import FUND, GRANT, HOLD, PROVIDER, STARTUP, builder, equity_part, hour, id_of, usd

LINE = id_of("svl")
SHEET = "/sheets/1"
SPANS = ((hour(10), hour(20)),)
MINE = {"service_line_id": LINE, "grant_id": GRANT}
propose = builder(
    ProposeServiceLine(
        **MINE,
        startup_id=STARTUP,
        provider_id=PROVIDER,
        holder_id=FUND,
        name="engineering support",
        price_usd_per_hour=usd("180"),
        hours=usd("20"),
        workers=9,
    )
)
agree = builder(
    AgreeServiceLine(
        service_line_id=LINE, hold_id=HOLD, cash_commitment_usd=usd("2160"), equity=equity_part(), at=hour(10)
    )
)
approve = builder(ApproveServiceLine(service_line_id=LINE))
decline = builder(DeclineServiceLine(service_line_id=LINE, by="startup", reason="too dear"))
reading = builder(HoursReading(reading_id="r1", start=hour(11), end=hour(13), hours=usd("3.5")))


def report(*readings, **changes):
    asked = {"spans": SPANS, "at": hour(15), **changes}
    return ReportHours(service_line_id=LINE, source=SHEET, readings=readings, **asked)


correct = builder(
    CorrectHours(
        service_line_id=LINE, source=SHEET, reading=reading(hours=usd(2)), spans=SPANS, at=hour(15), reason="a slip"
    )
)
void = builder(VoidHours(service_line_id=LINE, source=SHEET, reading_id="r1", reason="not ours"))
limit = builder(LimitServiceLine(service_line_id=LINE, spans=SPANS))
close = builder(CloseServiceLine(service_line_id=LINE))
_ASKED = propose()
PROPOSED = ServiceLineProposed(**{name: getattr(_ASKED, name) for name in _ASKED.__struct_fields__})
APPROVED = ServiceLineApproved(**MINE, holder_id=FUND)
DECLINED = ServiceLineDeclined(**MINE, by="startup", reason="too dear")
AGREED = ServiceLineAgreed(
    **MINE,
    startup_id=STARTUP,
    provider_id=PROVIDER,
    at=hour(10),
    hours=usd("20"),
    hold_id=HOLD,
    cash_commitment_usd=usd("2160"),
    equity=equity_part(),
)
RUNS = (PROPOSED, APPROVED, AGREED)


def reported(*readings):
    return ServiceLineReported(**MINE, source=SHEET, readings=readings)


CLOSED = ServiceLineClosed(**MINE, hours=usd("3.5"))
