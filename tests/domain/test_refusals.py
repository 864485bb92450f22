"""The refusals that a module documents are the refusals that it raises, and each is provoked by a row.

A module says ``Refusals in order: a · b · c.``; its test module has `REFUSALS`, rows in that order, and `PRECEDENCE`,
rows with two faults at once. ``<aggregate>_<status>`` stands for one code per status that refuses.
"""

import ast
import inspect
import re
from itertools import groupby

import pytest

from events.grant import GrantDegraded
from marketplace.core.errors import Refusal
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.refusals import require_bounds
from tests.domain import build
from tests.support.modules import find_module

AGGREGATES = tuple(aggregate for aggregate in DECIDERS if aggregate not in {"instrument", "issuer", "log", "command"})
"""The others are tested without such tables."""
AMOUNTS = {"not_a_number", "amount_not_positive", "amount_too_large", "amount_too_precise"}
RAISED_BY = {
    "require_usd": AMOUNTS,
    "require_bounds": {"value_out_of_bounds"},
    "require_stages": {"security_too_short"},
    "require_value": {"order_too_small"},
    "require_price": AMOUNTS,
    "require_share": AMOUNTS,
    "require_hours": AMOUNTS,
    "require_aware": {"time_naive"},
    "require_instrument": AMOUNTS
    | {"time_naive", "conversion_empty", "missing_convention", "discount_whole", "cap_below_commitment"},
    "require_drawdown": AMOUNTS
    | {"time_naive", "conversion_empty", "missing_convention", "discount_whole", "cap_below_commitment"}
    | {"note_too_short", "warrant_too_short", "consequence_missing"},
    "require_over": {"outage_open"},
    "require_prompt": {"resumption_backdated"},
    "require_span": {"time_naive", "span_empty"},
    "require_report": {"readings_missing", "readings_too_many"},
    "require_consequence": {"consequence_missing"},
    "find_interval_fault": {"time_naive", "span_empty", "seconds_not_whole"},
    "find_late_fault": {"from_the_future", "interval_too_long"},
    "require_country": {"country_unlisted"},
    "require_service": AMOUNTS | {"credits_above_promise", "credits_out_of_order"},
}
COMPUTED = {"what": ("reference", "cause"), "name": ("cap", "discount", "strike")}
"""Values of the variables with which computed codes begin."""
PARTS = {
    "account": ("account_approvals", "account_state"),
    "grant": ("grant_notice", "rescheduling"),
    "mandate": ("mandate_rules",),
    "order": ("order_terms",),
    "statement": ("dispute",),
    "usage": ("usage_record", "allocation", "burn_order"),
}
"""Modules beside the aggregate's own that raise for it."""
BEFORE = {"order": {"value_too_precise", "class_not_offered"}, "statement": {"answer_period_runs"}}
"""Codes of these modules that use cases ask for before the aggregate decides."""


def load_domain(aggregate):
    return find_module("marketplace.domain", aggregate)


def parse_documented(aggregate, title="Refusals"):
    """Return every code that the module's docstring names under a title, in order."""
    listed = re.findall(rf"{title}[^.]*?in order: ([^.]*)", inspect.getdoc(load_domain(aggregate)))
    assert listed, f"marketplace/domain/{aggregate}.py lists its {title.lower()}"
    return [code for text in listed for code in re.findall(r"[a-z_]+(?:<status>)?", text.split(", then")[0])]


def find_raised(aggregate):
    """Return every code that the module's source can raise, `<status>` for what depends on the state."""
    codes = set()
    sources = [inspect.getsource(load_domain(name)) for name in (aggregate, *PARTS.get(aggregate, ()))]
    for call in ast.walk(ast.parse("\n".join(sources))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        name = call.func.id
        if name == "partial" and isinstance(call.args[0], ast.Name):  # a check among others, by `require_all`
            name = call.args[0].id
        codes |= RAISED_BY.get(name, set())
        if name in {"refuse_unknown", "refuse_exists"}:
            codes.add(f"{call.args[0].value}_{name.removeprefix('refuse_')}")
        elif name == "refuse_status":
            codes.add(f"{call.args[0].value}_<status>")
        elif name == "Refusal":
            codes |= read_codes(call.args[0])
    return codes


def read_codes(argument):
    """Return the codes of a refusal's first argument: a text, a choice of texts, or one such as `{what}_exists`."""
    if isinstance(argument, ast.Constant):
        return {argument.value}
    if isinstance(argument, ast.IfExp):
        return read_codes(argument.body) | read_codes(argument.orelse)
    assert isinstance(argument, ast.JoinedStr), ast.dump(argument)
    name, ending = argument.values
    return {f"{each}{ending.value}" for each in COMPUTED[name.value.id]}


def matches(pattern, code):
    return re.fullmatch(pattern.replace("<status>", "[a-z]+"), code) is not None


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_every_code_that_is_raised_is_documented_and_every_documented_code_is_raised(aggregate):
    documented = set(parse_documented(aggregate))
    if aggregate in {"usage", "service_line"}:
        documented |= set(parse_documented(aggregate, "Faults"))
    raised = find_raised(aggregate)
    assert raised >= BEFORE.get(aggregate, set())
    raised -= BEFORE.get(aggregate, set())
    status = {code for code in raised if "<status>" in code}
    assert {code for code in raised - status if not any(matches(pattern, code) for pattern in documented)} == set()
    assert {
        pattern
        for pattern in documented
        if not any(matches(pattern, code) for code in raised) and not any(matches(each, pattern) for each in status)
    } == set()


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_rows_provoke_every_documented_code_in_the_order_of_precedence(aggregate):
    documented = parse_documented(aggregate)
    if aggregate == "party":
        documented = documented[: documented.index("party_unknown", 1)]
    if aggregate == "register":
        documented.remove("parties_related")  # of a check that use cases ask
    rows = find_module("tests.domain", f"test_{aggregate}").REFUSALS
    provoked = [
        row.code if row.code in documented else next(code for code in documented if matches(code, row.code))
        for row in rows
    ]
    assert [code for code, _ in groupby(provoked)] == documented


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_rows_with_two_faults_name_a_documented_code(aggregate):
    documented = parse_documented(aggregate)
    rows = find_module("tests.domain", f"test_{aggregate}").PRECEDENCE
    assert rows
    assert all(any(matches(pattern, row.code) for pattern in documented) for row in rows)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_statuses_that_refuse_are_provoked_each(aggregate):
    """A `<status>` code is provoked in every status but those in which no command is refused for its status."""
    source = "\n".join(inspect.getsource(load_domain(name)) for name in (aggregate, *PARTS.get(aggregate, ())))
    if f"{aggregate}_<status>" not in source:
        return
    statuses = set(re.findall(r'"([a-z]+)"', re.search(r"(?i)status(?:: | = )Literal\[(.*?)\]", source).group(1)))
    rows = find_module("tests.domain", f"test_{aggregate}").REFUSALS
    never = {"grant": {"degraded", "suspended"}, "quote": {"held"}, "proposal": {"open"}}.get(aggregate, set())
    assert {status for status in statuses if any(row.code == f"{aggregate}_{status}" for row in rows)} == (
        statuses - never
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"grant_id": "grant one"},
            "grant_id is out of its bounds: must be an id as answers state it, such as pty_01jdm5v5tze1xa6a4sbz1gk3c4",
        ),
        ({"nodes_available": -1}, "nodes_available is out of its bounds: Expected a whole number >= 0"),
        ({"reason": "x" * 100_000}, "reason is out of its bounds: Expected text of length <= "),
    ],
)
def test_a_value_out_of_its_bounds_is_said_in_words(changes, said):
    values = {"grant_id": build.GRANT, "nodes_available": 1, "at": build.NOW, "reason": "fan", **changes}
    with pytest.raises(Refusal) as caught:
        require_bounds(GrantDegraded(**values))
    assert (caught.value.code, caught.value.message[: len(said)]) == ("value_out_of_bounds", said)
