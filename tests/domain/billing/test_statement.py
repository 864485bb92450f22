"""Statements: accepted, disputed, resolved; settled once."""

from datetime import timedelta

import msgspec
import pytest

from events.service import ServiceResult
from events.statement import (
    Adjustment,
    Metering,
    ServiceCredit,
    StatementAccepted,
    StatementAgreed,
    StatementAnswered,
    StatementConceded,
    StatementCredited,
    StatementDisputed,
    StatementPartSettled,
    StatementReferred,
    StatementResolved,
    StatementServiceCredited,
)
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.domain.billing.dispute import ANSWER, DECISION
from marketplace.domain.billing.statement import (
    STATEMENT,
    AcceptStatement,
    AnswerDispute,
    ConcedePart,
    DisputeStatement,
    HearSilence,
    IssueStatement,
    ReferDispute,
    ResolveStatement,
    Statement,
    find_silence,
    find_undisputed,
    is_part_due,
)
from marketplace.domain.billing.statement_chain import ADJUSTMENTS_PROMPT, compute_due, find_credit, require_spaced
from marketplace.domain.delivery.periods import Period
from tests.domain import build
from tests.domain.build import GRANT, NAN, Row, builder, charges, hour, id_of, issue_statement, usd
from tests.support.spec import Given

MINE = {"statement_id": build.STATEMENT}
LESS = charges(
    gpu_seconds=28_800,
    provider_usd=usd("16.00"),
    cash_usd=usd("9.60"),
    holder_usd=usd("6.40"),
    principal_usd=usd("12.80"),
)
accept = builder(AcceptStatement(**MINE, by="acceptance", at=hour(12)))
dispute = builder(DisputeStatement(**MINE, gpu_seconds_counted=28_800, reason="a node was down", at=hour(12)))
resolve = builder(ResolveStatement(**MINE, charges=LESS, reason="logs of the provider", by="concession"))
answer = builder(AnswerDispute(**MINE, by="provider", reason="no", at=hour(13), gpu_seconds_offered=40_000))
concede = builder(ConcedePart(**MINE, by="provider", reason="yes", charges=charges(gpu_seconds=40_000), at=hour(13)))
refer = builder(ReferDispute(**MINE, by="provider", reason="decide", at=hour(14)))
ISSUED = build.statement_issued()
DUE = hour(12) + ANSWER
DISPUTED = StatementDisputed(
    **MINE, grant_id=GRANT, gpu_seconds_counted=28_800, reason="a node was down", answer_until=DUE
)
ANSWERED = StatementAnswered(**MINE, grant_id=GRANT, by="provider", reason="no", answer_until=DUE)
INSISTED = msgspec.structs.replace(ANSWERED, by="startup")
OFFERED = msgspec.structs.replace(ANSWERED, gpu_seconds_offered=40_000)
REFERRED = StatementReferred(**MINE, grant_id=GRANT, by="startup", reason="decide", decide_until=DUE + DECISION)
CONCEDED = StatementConceded(
    **MINE,
    grant_id=GRANT,
    by="startup",
    reason="yes",
    charges=charges(),
    gpu_seconds=28_801,
    gpu_seconds_counted=28_801,
    counted_by="startup",
)
METERED = build.statement_issued(metering=Metering(provider_gpu_seconds=57_600, startup_gpu_seconds=0))
ARGUED = (ISSUED, DISPUTED, ANSWERED, INSISTED)
RESOLVED = StatementResolved(
    **MINE, grant_id=GRANT, charges_before=charges(), charges=LESS, reason="logs of the provider", by="concession"
)


SETTLED = StatementPartSettled(**MINE, grant_id=GRANT, charges=LESS, part_id=id_of("stm", 7))
RESOLD = msgspec.structs.replace(ISSUED, charges=charges(reseller_receives_usd=usd(1), provider_usd=usd(31)))
RESELLER = msgspec.structs.replace(ANSWERED, by="reseller", gpu_seconds_offered=40_000, awaits="provider")
LINE_ISSUED = msgspec.structs.replace(
    ISSUED, service_line_id=id_of("svl"), charges=charges(gpu_seconds=0, service_hours=usd("2.5"))
)
LINE_DISPUTED = msgspec.structs.replace(DISPUTED, gpu_seconds_counted=0, hours_counted=usd("0.5"))
DISPUTED_TOO = msgspec.structs.replace(DISPUTED, by="holder", gpu_seconds_counted=28_000)


def count(hours):
    return dispute(gpu_seconds_counted=None, hours_counted=hours)


def accepted(by, what=None):
    return StatementAccepted(**MINE, grant_id=GRANT, charges=what or charges(), by=by)


ACCEPTED = accepted("acceptance")

REFUSALS = [
    Row("statement_unknown", (), accept()),
    Row("statement_exists", (ISSUED,), issue_statement(grant_id=id_of("grt", 2))),
    Row("statement_exists", (ISSUED,), issue_statement(period_end=hour(12))),
    Row("statement_issued", (ISSUED,), accept(by="resolution")),
    Row("statement_issued", (ISSUED,), resolve()),
    Row("statement_disputed", (ISSUED, DISPUTED), accept()),
    Row("statement_disputed", (ISSUED, DISPUTED), accept(by="silence", at=hour(99))),
    Row("statement_disputed", (ISSUED, DISPUTED), dispute(gpu_seconds_counted=1)),
    Row("statement_resolved", (ISSUED, DISPUTED, RESOLVED), accept()),
    Row("statement_resolved", (ISSUED, DISPUTED, RESOLVED), dispute()),
    Row("statement_resolved", (ISSUED, DISPUTED, RESOLVED), resolve(charges=charges())),
    Row("statement_accepted", (ISSUED, ACCEPTED), dispute()),
    Row("statement_accepted", (ISSUED, ACCEPTED), resolve()),
    Row("statement_issued", (ISSUED,), answer()),
    Row("statement_issued", (ISSUED,), concede()),
    Row("statement_issued", (ISSUED,), refer()),
    Row("statement_referred", (*ARGUED, REFERRED), answer()),
    Row("statement_referred", (*ARGUED, REFERRED), refer()),
    Row("acceptance_period_runs", (ISSUED,), accept(by="silence", at=hour(34))),
    Row("acceptance_period_over", (ISSUED,), dispute(at=hour(35))),
    Row("count_settled", (ISSUED, DISPUTED, SETTLED), dispute(by="holder", gpu_seconds_counted=1)),
    Row("count_conceded", (ISSUED, DISPUTED, DISPUTED_TOO, CONCEDED), dispute(gpu_seconds_counted=1)),
    Row("count_missing", (ISSUED,), dispute(gpu_seconds_counted=None), "/gpu_seconds_counted"),
    Row("count_missing", (ISSUED,), dispute(hours_counted=usd(1)), "/gpu_seconds_counted"),
    Row("count_missing", (LINE_ISSUED,), dispute(), "/hours_counted"),
    Row("not_a_number", (LINE_ISSUED,), count(NAN), "/hours_counted"),
    Row("amount_not_positive", (LINE_ISSUED,), count(usd(-1)), "/hours_counted"),
    Row("amount_too_large", (LINE_ISSUED,), count(usd(10**7)), "/hours_counted"),
    Row("amount_too_precise", (LINE_ISSUED,), count(usd("0.00001")), "/hours_counted"),
    Row("count_above_statement", (LINE_ISSUED,), count(usd("2.5")), "/hours_counted"),
    Row("count_above_statement", (ISSUED,), dispute(gpu_seconds_counted=57_600), "/gpu_seconds_counted"),
    Row("referral_missing", ARGUED, resolve(by="platform")),
    Row(
        "charges_above_statement",
        (ISSUED, DISPUTED),
        resolve(charges=charges(gpu_seconds=57_601)),
        "/gpu_seconds",
    ),
    *(
        Row("charges_above_statement", (ISSUED, DISPUTED), resolve(charges=charges(**{name: usd(33)})), f"/{name}")
        for name in ("provider_usd", "cash_usd", "holder_usd", "principal_usd")
    ),
    Row(
        "charges_below_settled",
        (ISSUED, DISPUTED, SETTLED),
        resolve(charges=charges(gpu_seconds=28_799)),
        "/gpu_seconds",
    ),
    Row("count_none", (ISSUED, DISPUTED), answer(by="holder")),
    Row("count_none", (ISSUED, DISPUTED), concede(by="holder")),
    Row("count_none", ARGUED, refer(by="holder")),
    Row("answer_not_due", (ISSUED, DISPUTED), answer(by="startup")),
    Row("answer_period_over", (ISSUED, DISPUTED), answer(at=DUE)),
    Row("answer_period_over", ARGUED, refer(at=DUE)),
    Row("answers_too_many", (*ARGUED, *(ANSWERED, INSISTED) * 2), answer()),
    Row("referral_early", (ISSUED, DISPUTED, ANSWERED), refer(by="startup")),
    Row(
        "concessions_too_many",
        (ISSUED, DISPUTED, *(msgspec.structs.replace(CONCEDED, gpu_seconds=28_801 + step) for step in range(3))),
        concede(by="startup"),
    ),
    Row("amount_missing", (ISSUED, DISPUTED), answer(hours_offered=usd(1)), "/gpu_seconds"),
    Row("amount_missing", (LINE_ISSUED, LINE_DISPUTED), answer(), "/hours"),
    *(
        Row(
            code,
            (LINE_ISSUED, LINE_DISPUTED),
            answer(gpu_seconds_offered=None, hours_offered=hours),
            "/hours",
        )
        for code, hours in (
            ("not_a_number", NAN),
            ("amount_not_positive", usd(-1)),
            ("amount_too_large", usd(10**7)),
            ("amount_too_precise", usd("1.00001")),
        )
    ),
    *(
        Row("offer_outside", (ISSUED, DISPUTED), answer(gpu_seconds_offered=offer), "/gpu_seconds")
        for offer in (28_800, 57_600)
    ),
    Row("concession_outside", (ISSUED, DISPUTED), concede(charges=charges()), "/gpu_seconds"),
    Row("concession_outside", (ISSUED, DISPUTED), concede(by="startup", charges=LESS), "/gpu_seconds"),
    Row("reseller_disagrees", (RESOLD, DISPUTED), answer(gpu_seconds_offered=40_000)),
    Row("reseller_disagrees", (RESOLD, DISPUTED, RESELLER), answer(gpu_seconds_offered=39_999)),
    Row("reseller_disagrees", (RESOLD, DISPUTED, RESELLER), concede(charges=charges(gpu_seconds=39_999))),
    Row("value_out_of_bounds", (ISSUED,), dispute(gpu_seconds_counted=-1)),
]
PRECEDENCE = [
    Row("statement_unknown", (), dispute(gpu_seconds_counted=10**9)),
    Row("statement_issued", (ISSUED,), resolve(charges=charges(gpu_seconds=57_601))),
    Row("statement_accepted", (ISSUED, ACCEPTED), dispute(at=hour(99), gpu_seconds_counted=10**9)),
    Row("acceptance_period_over", (ISSUED,), dispute(at=hour(35), gpu_seconds_counted=10**9)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(STATEMENT, row)


def test_issues():
    Given(STATEMENT).when(issue_statement()).then(ISSUED)


def test_a_period_is_stated_once_though_its_usage_changed_since():
    Given(STATEMENT, ISSUED).when(issue_statement(charges=LESS)).then_nothing()
    Given(STATEMENT, ISSUED, ACCEPTED).when(issue_statement()).then_nothing()


def test_is_accepted_even_after_the_acceptance_period():
    Given(STATEMENT, ISSUED).when(accept()).then(ACCEPTED)
    Given(STATEMENT, ISSUED).when(accept(at=hour(99))).then(ACCEPTED)


def test_silence_accepts_once_the_period_is_over():
    Given(STATEMENT, ISSUED).when(accept(by="silence", at=hour(35))).then(accepted("silence"))


def test_is_settled_once():
    Given(STATEMENT, ISSUED, ACCEPTED).when(accept(by="silence", at=hour(99))).then_nothing()


def test_disputes_until_the_period_is_over():
    Given(STATEMENT, ISSUED).when(dispute()).then(DISPUTED)
    nothing = StatementDisputed(
        **MINE, grant_id=GRANT, gpu_seconds_counted=0, reason="a node was down", answer_until=DUE
    )
    Given(STATEMENT, ISSUED).when(dispute(gpu_seconds_counted=0)).then(nothing)


def test_a_resolution_is_what_is_settled():
    Given(STATEMENT, ISSUED, DISPUTED).when(resolve()).then(RESOLVED)
    final = accepted("resolution", LESS)
    Given(STATEMENT, ISSUED, DISPUTED, RESOLVED).when(accept(by="resolution")).then(final)
    Given(STATEMENT, ISSUED, DISPUTED, RESOLVED, final).when(resolve()).then_nothing()


def test_a_dispute_may_be_resolved_for_the_provider():
    upheld = StatementResolved(
        **MINE,
        grant_id=GRANT,
        charges_before=charges(),
        charges=charges(),
        reason="logs of the provider",
        by="platform",
    )
    Given(STATEMENT, *ARGUED, REFERRED).when(resolve(charges=charges(), by="platform")).then(upheld)


BELOW = ServiceResult(
    gpu_seconds_promised=57_600,
    gpu_seconds_unavailable=5_760,
    gpu_seconds_delivered=57_600,
    availability="9/10",
    availability_min=usd("0.95"),
    met=False,
    credit=usd("0.25"),
)
SERVICE_CREDITED = StatementServiceCredited(
    **MINE,
    grant_id=GRANT,
    startup_id=build.STARTUP,
    provider_id=build.PROVIDER,
    service=BELOW,
    credit=ServiceCredit(
        provider_usd=usd("8.00"), cash_usd=usd("4.80"), holder_usd=usd("3.20"), principal_usd=usd("6.40")
    ),
)


def test_a_period_below_its_promise_is_credited_as_it_is_settled_and_once():
    issued = msgspec.structs.replace(ISSUED, service=BELOW)
    Given(STATEMENT).when(issue_statement(service=BELOW)).then(issued)
    final = msgspec.structs.replace(accepted("silence"), service=BELOW)
    due = {"service": BELOW, "credit": SERVICE_CREDITED.credit}
    Given(STATEMENT, issued).when(accept(by="silence", at=hour(35), **due)).then(final, SERVICE_CREDITED)
    settled = STATEMENT.fold([issued, final, SERVICE_CREDITED])
    assert (settled.charges.cash_usd, settled.net.cash_usd, settled.net.principal_usd) == (
        usd("19.20"),
        usd("14.40"),
        usd("19.20"),
    )


@pytest.mark.parametrize(("after", "change"), [(0, -57_600), (50_000, -20_000), (90_000, 0)])
def test_what_an_adjustment_adds_is_available_once_it_is_accepted_and_no_more_of_it_than_is_charged(after, change):
    adjustment = Adjustment(
        statement_id=id_of("stm", 2),
        gpu_seconds_before=0,
        gpu_seconds_after=57_600,
        unavailable_before=70_000,
        unavailable_after=after,
    )
    late = msgspec.structs.replace(ISSUED, adjustment=adjustment)
    final = msgspec.structs.replace(ACCEPTED, unavailable_change=change)
    Given(STATEMENT, late).when(accept()).then(final)


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_credited_is_the_share_of_what_a_period_charges_in_all_less_what_was_given(sign):
    first = Statement(ISSUED, charges(), 57_600, "accepted", service_credit=SERVICE_CREDITED.credit)
    half = ServiceCredit(
        provider_usd=usd("4.00"), cash_usd=usd("2.40"), holder_usd=usd("1.60"), principal_usd=usd("3.20")
    )
    due = find_credit([first], LESS, BELOW, sign=sign)
    assert due == ServiceCredit(**{name: sign * getattr(half, name) for name in half.__struct_fields__})
    assert find_credit([first], LESS, None).provider_usd == -SERVICE_CREDITED.credit.provider_usd
    assert find_credit([], LESS, None) is None


def test_what_a_dispute_settled_binds_for_what_was_metered_then():
    final = accepted("resolution", LESS)
    chain = [STATEMENT.fold([ISSUED, DISPUTED, RESOLVED, final])]
    due = [compute_due(chain, metered) for metered in (0, 28_799, 28_800, 57_600, 57_601)]
    assert due == [0, 28_799, 28_800, 28_800, 28_801]
    again = Statement(CREDITED, charges(gpu_seconds=0), 30_000, "accepted")
    assert compute_due([*chain, again], 57_600) == 28_800, "a correction of a correction undoes nothing"


CHANGE = Adjustment(statement_id=id_of("stm", 9), gpu_seconds_before=57_600, gpu_seconds_after=28_800)
CREDITED = StatementCredited(
    **MINE,
    grant_id=GRANT,
    startup_id=build.STARTUP,
    provider_id=build.PROVIDER,
    period_start=hour(10),
    period_end=hour(11),
    charges=LESS,
    adjustment=CHANGE,
)
CREDIT = IssueStatement(issued=CREDITED)


def test_hours_whose_reseller_keeps_its_part_of_a_credit_are_not_charged_again():
    kept = msgspec.structs.replace(CREDITED, reseller_keeps_usd=usd("1.00"))
    chain = [Statement(ISSUED, charges(), 57_600, "accepted"), STATEMENT.fold([kept])]
    due = [compute_due(chain, metered) for metered in (0, 28_799, 28_800, 57_600, 57_601)]
    assert due == [0, 28_799, 28_800, 28_800, 28_801]


def test_a_credit_is_settled_as_it_is_made_and_made_once():
    Given(STATEMENT).when(CREDIT).then(CREDITED)
    Given(STATEMENT, CREDITED).when(accept()).then_nothing()
    Given(STATEMENT, CREDITED).when(dispute()).refused("statement_accepted")
    state = STATEMENT.fold([CREDITED])
    assert (state.sign, state.gpu_seconds_metered) == (-1, 28_800)


@pytest.mark.parametrize(
    ("startup_gpu_seconds", "agree"), [(57_600, True), (57_024, True), (57_023, False), (58_182, True)]
)
def test_two_meters_agree_within_one_percent_of_the_greater_or_where_the_startups_counts_more(
    startup_gpu_seconds, agree
):
    metering = Metering(provider_gpu_seconds=57_600, startup_gpu_seconds=startup_gpu_seconds)
    command = issue_statement(metering=metering)
    issued = msgspec.structs.replace(ISSUED, metering=metering)
    if agree:
        Given(STATEMENT).when(command).then(issued)
        return
    events = STATEMENT.decide(command, None)
    assert events[0] == issued
    assert (events[1].by, events[1].gpu_seconds_counted) == ("meters", startup_gpu_seconds)
    assert STATEMENT.fold(events).status == "disputed"


BY_METERS = msgspec.structs.replace(DISPUTED, by="meters", answer_until=ISSUED.accept_until)
AGREED = StatementAgreed(**MINE, grant_id=GRANT, by="startup")


def test_a_startup_widens_the_dispute_of_its_meter_until_it_has_acted_itself():
    lower = msgspec.structs.replace(DISPUTED, gpu_seconds_counted=1)
    Given(STATEMENT, ISSUED, BY_METERS).when(dispute(gpu_seconds_counted=1)).then(lower)
    Given(STATEMENT, ISSUED, BY_METERS).when(dispute()).refused("count_above_statement")
    Given(STATEMENT, ISSUED, BY_METERS).when(dispute(at=hour(35), gpu_seconds_counted=1)).refused(
        "acceptance_period_over"
    )
    again = dispute(gpu_seconds_counted=0)
    acts = (lower, AGREED, INSISTED, msgspec.structs.replace(CONCEDED, gpu_seconds=30_000), REFERRED)
    for act in acts:
        Given(STATEMENT, ISSUED, BY_METERS, ANSWERED, act).when(again).refused("statement_disputed")
    Given(STATEMENT, ISSUED, BY_METERS, ANSWERED).when(again).then(
        msgspec.structs.replace(lower, gpu_seconds_counted=0)
    )
    Given(STATEMENT, ISSUED, BY_METERS, DISPUTED_TOO).when(dispute(gpu_seconds_counted=1)).then(lower)


def test_nothing_is_paid_of_what_only_a_meter_disputes_before_the_startup_acts_or_its_time_is_over():
    automatic = STATEMENT.fold([ISSUED, BY_METERS])
    last = ISSUED.accept_until - hour(1).resolution
    assert not is_part_due(automatic, last, issuer_ended=True)
    assert is_part_due(automatic, ISSUED.accept_until, issuer_ended=True)
    Given(STATEMENT, ISSUED, BY_METERS).when(accept(side="startup")).then(AGREED)
    for act in (AGREED, DISPUTED):
        assert is_part_due(STATEMENT.fold([ISSUED, BY_METERS, act]), last, issuer_ended=True)
    conceded = (ISSUED, BY_METERS, RESOLVED)
    settle = accept(by="resolution", conceded=True, at=last, issuer_ended=True)
    Given(STATEMENT, *conceded).when(settle).refused("acceptance_period_runs")


def test_the_holder_that_pays_disputes_too_and_the_lower_count_stands():
    lower = dispute(by="holder", gpu_seconds_counted=DISPUTED.gpu_seconds_counted - 1)
    event = msgspec.structs.replace(DISPUTED, by="holder", gpu_seconds_counted=lower.gpu_seconds_counted)
    Given(STATEMENT, ISSUED).when(lower).then(msgspec.structs.replace(event, reason=lower.reason))
    Given(STATEMENT, ISSUED, DISPUTED).when(lower).then(msgspec.structs.replace(event, reason=lower.reason))
    higher = dispute(by="holder", gpu_seconds_counted=DISPUTED.gpu_seconds_counted)
    Given(STATEMENT, ISSUED, DISPUTED).when(higher).refused("count_above_statement")
    Given(STATEMENT, ISSUED, event).when(dispute(by="holder", gpu_seconds_counted=1)).refused("statement_disputed")


@pytest.mark.parametrize(
    ("argued", "due", "amount", "by"),
    [
        ((ISSUED, DISPUTED), DUE, 28_800, "silence"),
        ((ISSUED, DISPUTED, ANSWERED), DUE, 57_600, "silence"),
        ((ISSUED, DISPUTED, OFFERED), DUE, 40_000, "silence"),
        ((METERED, *ARGUED[1:], REFERRED), DUE + DECISION, 43_200, "undecided"),
        ((*ARGUED, REFERRED), DUE + DECISION, 57_600, "undecided"),
        ((LINE_ISSUED, LINE_DISPUTED), DUE, usd("0.5"), "silence"),
        (
            (LINE_ISSUED, msgspec.structs.replace(LINE_DISPUTED, hours_counted=usd("0.0001")), REFERRED),
            DUE + DECISION,
            usd("1.2500"),
            "undecided",
        ),
    ],
)
def test_silence_settles_the_last_word_and_the_platforms_the_middle(argued, due, amount, by):
    state = STATEMENT.fold(argued)
    assert find_silence(state, due) == (amount, by)
    with pytest.raises(Refusal) as refused:
        find_silence(state, due - hour(1).resolution)
    assert (refused.value.code, refused.value.facts["due"]) == ("answer_period_runs", render_instant(due))


HOLDER_COUNTS = msgspec.structs.replace(DISPUTED_TOO, gpu_seconds_counted=0)
TURN = (ISSUED, DISPUTED, HOLDER_COUNTS, ANSWERED)
WAITING = msgspec.structs.replace(INSISTED, gpu_seconds_offered=50_000, awaits="holder")
LATER = DUE + ANSWER
PASSED = StatementAgreed(**MINE, grant_id=GRANT, by="holder", answer_until=LATER)
SILENT = msgspec.structs.replace(PASSED, is_silent=True)
hear = HearSilence(**MINE, at=DUE)


@pytest.mark.parametrize(
    ("offered", "event"),
    [
        (50_000, WAITING),
        (None, msgspec.structs.replace(WAITING, gpu_seconds_offered=28_800)),
    ],
)
def test_a_payer_that_counts_less_than_what_the_other_offers_answers_first_in_the_same_time(offered, event):
    command = answer(by="startup", gpu_seconds_offered=offered)
    assert STATEMENT.decide(command, STATEMENT.fold(TURN)) == [event]
    Given(STATEMENT, *TURN, event).when(command).refused("answer_not_due")
    Given(STATEMENT, *TURN, event).when(answer()).refused("answer_not_due")
    offer, waiting = event.gpu_seconds_offered, STATEMENT.fold([*TURN, event])
    Given(STATEMENT, *TURN, event).when(answer(by="holder", gpu_seconds_offered=offer)).refused("offer_outside")
    lower = msgspec.structs.replace(
        INSISTED, by="holder", gpu_seconds_offered=offer - 1, answer_until=hour(13) + ANSWER
    )
    for said, word in ((offer - 1, lower), (None, msgspec.structs.replace(lower, gpu_seconds_offered=None))):
        assert STATEMENT.decide(answer(by="holder", gpu_seconds_offered=said), waiting) == [word]
    least = STATEMENT.fold([*TURN, event, lower])
    assert (least.dispute.awaits, least.dispute.find_most()) == ("provider", offer - 1)
    assert STATEMENT.fold([*TURN, event, word]).dispute.find_most() == 0


def test_a_payer_agrees_to_what_the_other_one_offers_by_accepting_conceding_or_silence():
    waiting = (*TURN, WAITING)
    Given(STATEMENT, *waiting).when(accept(side="holder", at=DUE)).then(PASSED)
    Given(STATEMENT, *waiting).when(hear).then(SILENT)
    Given(STATEMENT, *waiting).when(HearSilence(**MINE, at=DUE - hour(1).resolution)).then()
    Given(STATEMENT, *TURN).when(hear).then()
    conceded = STATEMENT.decide(
        concede(by="holder", charges=charges(gpu_seconds=50_000), at=DUE), STATEMENT.fold(waiting)
    )
    assert [type(event) for event in conceded] == [StatementConceded, StatementAgreed]
    assert (conceded[0].gpu_seconds_counted, conceded[0].counted_by, conceded[1]) == (28_800, "startup", PASSED)
    for passed in ([PASSED], [SILENT], conceded):
        after = STATEMENT.fold([*waiting, *passed])
        assert (after.dispute.awaits, after.dispute.find_most()) == ("provider", 50_000)
        assert find_silence(after, LATER) == (50_000, "silence")
        Given(STATEMENT, *waiting, *passed).when(hear).then()
    assert find_undisputed(STATEMENT.fold(waiting), DUE) == 0


def test_an_offer_that_the_provider_or_a_new_count_passes_awaits_no_payer_alone():
    passed = msgspec.structs.replace(CONCEDED, by="provider", gpu_seconds=45_000, counted_by="holder")
    dispute = STATEMENT.fold([*TURN, WAITING, passed]).dispute
    assert (dispute.awaits, dispute.offer, dispute.answer_until) == ("payers", None, DUE)
    lower = STATEMENT.fold([ISSUED, DISPUTED, ANSWERED, WAITING, HOLDER_COUNTS]).dispute
    assert (lower.awaits, lower.offer, lower.find_most()) == ("provider", None, 0)
    reached = msgspec.structs.replace(passed, gpu_seconds=28_800, charges=charges(gpu_seconds=28_800))
    Given(STATEMENT, *TURN, reached).when(answer(by="startup", gpu_seconds_offered=None)).refused("count_none")


def test_the_answers_of_both_payers_to_one_of_the_provider_count_as_one():
    insists = msgspec.structs.replace(INSISTED, by="holder")
    state = STATEMENT.fold([*TURN, WAITING, insists])
    assert state.dispute.answers == 2
    turns = [ANSWERED, WAITING, insists, ANSWERED, WAITING, insists, ANSWERED, WAITING]
    full = STATEMENT.fold([ISSUED, DISPUTED, HOLDER_COUNTS, *turns])
    assert (full.dispute.answers, full.dispute.awaits) == (6, "holder")
    assert STATEMENT.decide(answer(by="holder", gpu_seconds_offered=None), full)


def test_a_concession_drops_an_offer_that_it_passes():
    state = STATEMENT.fold([ISSUED, DISPUTED, OFFERED])
    assert state.dispute.offer.amount == 40_000
    less = charges(gpu_seconds=40_000)
    passed = msgspec.structs.replace(CONCEDED, by="provider", charges=less, gpu_seconds=40_000)
    after = STATEMENT.evolve(state, passed)
    assert (after.dispute.offer, after.dispute.position, after.charges) == (None, 40_000, less)


@pytest.mark.parametrize(
    ("adjustments", "weeks"), [(0, 0), (ADJUSTMENTS_PROMPT - 1, 0), (ADJUSTMENTS_PROMPT, 1), (199, 100)]
)
def test_many_small_corrections_of_a_period_never_use_up_its_adjustments(adjustments, weeks):
    chain, period = [STATEMENT.fold([ISSUED])] * (adjustments + 1), Period(id_of("stm"), hour(0), hour(24))
    due = period.end + timedelta(weeks=weeks)
    require_spaced(chain, period, due)
    with pytest.raises(Refusal) as refused:
        require_spaced(chain, period, due - timedelta(seconds=1))
    assert (refused.value.code, refused.value.facts["due"]) == ("adjustment_early", render_instant(due))
