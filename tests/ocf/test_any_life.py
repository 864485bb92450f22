"""Whatever happened to a company, its package is valid, comes back byte for byte, and nothing is lost."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from events.issuer import (
    IssuerFormed,
    IssuerImported,
    IssuerProgrammeGrantAdded,
    IssuerProgrammeOpened,
    IssuerProposalCounted,
    IssuerPurchasesStated,
    IssuerRefusalCounted,
)
from events.registry import EVENT_TYPES
from marketplace.ocf.container import write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from marketplace.ocf.sidecar import rename_ids
from tests.ocf.package_tools import check_by_published_schema, judge, strip_sidecar, take_in
from tests.ocf.random_deals import live_at_random

NOW = datetime(2400, 1, 1, tzinfo=UTC)
ATTEMPTS = 100
SEEDS = st.integers(0, 10**6)


def list_acts(history):
    """Return everything that happened, but for how it was taken over and whose startup it is."""
    acts = [act for act in history.acts if not isinstance(act.event, IssuerImported)]
    company = next(act.event.party_id for act in acts if isinstance(act.event, IssuerFormed))
    return [(act.time, act.aggregate, forget(act.event, company)) for act in acts]


def forget(event, company):
    """Return an event without its startup, where it names it other than as a holder."""
    if isinstance(event, IssuerFormed):
        return replace(event, party_id="")
    if isinstance(event, IssuerProgrammeOpened):
        return replace(event, vendor_ids=tuple("" if each == company else each for each in event.vendor_ids))
    if isinstance(event, IssuerProgrammeGrantAdded | IssuerPurchasesStated):
        return replace(event, vendor_id="")
    return event


@settings(max_examples=25)
@given(SEEDS)
def test_a_package_of_any_history_is_valid_and_a_round_trip_loses_nothing(seed):
    before = live_at_random(Random(seed), ATTEMPTS).history
    files = render_package(before)
    assert check_files(files) == ()
    with tempfile.TemporaryDirectory() as folder:
        write_package(Path(folder) / "package", files)
        assert check_by_published_schema(Path(folder) / "package") == []
    taken = take_in(files, 2, NOW)
    again = render_package(taken)
    assert again == files
    assert render_package(take_in(again, 3, NOW)) == files
    assert list_acts(rename_ids(taken, taken.get_former_ids())) == list_acts(before)


@settings(max_examples=15)
@given(SEEDS)
def test_without_its_sidecar_a_package_is_refused_by_name_or_has_the_same_holdings(seed):
    before = live_at_random(Random(seed), ATTEMPTS).history
    stripped = strip_sidecar(render_package(before))
    verdict = judge(stripped, 4, NOW)
    problems = [each for each in verdict.findings if each.level == "problem"]
    assert (verdict.intake is None) == bool(problems)
    assert all(each.file and each.item and each.reason for each in problems)
    if verdict.intake is not None:
        taken = take_in(stripped, 4, NOW)
        assert dict(taken.get_issuer().holdings) == dict(before.get_issuer().holdings)
        again = render_package(taken)
        assert check_files(again) == ()
        assert render_package(take_in(again, 5, NOW)) == again


def test_random_lives_have_every_act_that_a_history_can_hold():
    happened = {type(act.event) for seed in range(80) for act in live_at_random(Random(seed), ATTEMPTS).acts}
    known = {
        kind for kind in EVENT_TYPES.values() if kind.__module__.startswith(("events.issuer", "events.instrument"))
    }
    assert known - happened == {IssuerImported, IssuerProposalCounted, IssuerRefusalCounted}
