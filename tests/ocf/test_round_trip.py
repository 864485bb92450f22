"""A package of ours: valid by the published schema, byte for byte the same after a round trip, and nothing lost."""

import json

import pytest

from events.issuer import IssuerFormed, IssuerImported
from marketplace.captable.history import History, build_history
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.state import list_rows, total_shares
from marketplace.ocf.container import compute_hash, parse_zip, render_zip, write_package
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from marketplace.ocf.sidecar import NAME as SIDECAR
from marketplace.ocf.sidecar import parse_sidecar
from tests.captable.company import Life, borrow, change_rights, found, live
from tests.domain.build import draw
from tests.ocf.package_tools import change_item, check_by_published_schema, judge, strip_sidecar, take_in


@pytest.fixture(scope="module")
def files():
    return render_package(live().history)


@pytest.mark.parametrize("chapters", [(found,), (found, borrow), (found, change_rights), None])
def test_a_package_is_valid_by_the_published_schema_and_by_our_own_levels(chapters, tmp_path):
    life = live() if chapters is None else Life()
    for chapter in chapters or ():
        chapter(life)
    files = render_package(life.history)
    write_package(tmp_path / "package", files)
    assert check_by_published_schema(tmp_path / "package") == []
    assert check_files(files) == ()


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_sidecar_with_an_act_out_of_bounds_is_refused(files, time):
    sidecar = json.loads(files[SIDECAR])
    sidecar["acts"][0]["time"] = time
    with pytest.raises(Refusal, match="/acts/0/time of the sidecar must lie between") as caught:
        parse_sidecar(json.dumps(sidecar).encode())
    assert caught.value.code == "sidecar_unreadable"


def test_export_import_export_is_byte_identical(files):
    again = render_package(take_in(files))
    assert again == files
    assert render_zip(again) == render_zip(files)
    assert render_package(take_in(again, 3)) == files


def test_rights_and_refusals_come_back_as_well():
    life = Life()
    for chapter in (found, change_rights):
        chapter(life)
    files = render_package(life.history)
    taken = take_in(files)
    assert render_package(taken) == files
    assert total_shares(taken.get_issuer()) == total_shares(life.issuer)
    assert len(taken.get_issuer().offers) == len(life.issuer.offers) == 2


def test_a_round_trip_loses_nothing(files):
    before, after = live().history, take_in(files)
    assert total_shares(after.get_issuer()) == total_shares(before.get_issuer())
    assert len(list_rows(after.get_issuer())) == len(list_rows(before.get_issuer()))
    assert [each.event.__class__ for each in after.acts if not isinstance(each.event, IssuerImported)] == [
        each.event.__class__ for each in before.acts
    ]
    assert [act.time for act in after.acts if not isinstance(act.event, IssuerImported)] == [
        act.time for act in before.acts
    ]
    drawn = [{each.issued.draw for each in h.list_instruments().values()} for h in (before, after)]
    assert drawn[0] == drawn[1] == {None, draw()}
    outstanding = [[each.outstanding_usd for each in h.list_instruments().values()] for h in (before, after)]
    assert outstanding[0] == sorted(outstanding[0])
    assert sorted(outstanding[1]) == outstanding[0]


def test_an_imported_issuer_has_ids_of_its_own_and_remembers_those_of_the_package(files):
    before, after = live().history, take_in(files)
    ours, theirs = ({act.aggregate for act in history.acts} for history in (after, before))
    assert ours.isdisjoint(theirs)
    origins = after.get_origins()
    assert {origins[each] for each in ours} == theirs
    formed = next(act.event for act in after.acts if isinstance(act.event, IssuerFormed))
    assert formed.party_id.endswith("2")


def test_a_package_is_the_same_whatever_the_order_in_which_events_were_loaded(files):
    life = live()
    shuffled = sorted(life.acts, key=lambda act: act.aggregate, reverse=True)
    assert render_package(build_history(life.issuer_id, shuffled)) == files


def test_the_sidecar_does_not_say_whose_startup_it_is(files):
    assert b'"party_id": "pty_00000000000000000000000000"' in files[SIDECAR]
    assert len(parse_sidecar(files[SIDECAR]).acts) == len(live().acts)


def test_a_sidecar_that_does_not_make_the_other_files_is_not_believed(files):
    changed = change_item(
        files, "Stakeholders.ocf.json", "stk_00000000000000000000000001", stakeholder_type="INSTITUTION"
    )
    verdict = judge(changed)
    assert verdict.intake is None
    assert check_files(changed) == verdict.findings
    assert {(each.file, each.code) for each in verdict.findings} == {
        ("Stakeholders.ocf.json", "sidecar_differs"),
        ("Manifest.ocf.json", "sidecar_differs"),
    }


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": "other", "issuer_id": "x", "acts": []}', b"\xff"])
def test_a_sidecar_that_cannot_be_read_keeps_the_package_out(files, content):
    verdict = judge({**files, SIDECAR: content})
    assert verdict.intake is None
    assert "sidecar_unreadable" in {each.code for each in verdict.findings}


def test_without_the_sidecar_the_shares_and_the_principal_come_through(files):
    stripped = strip_sidecar(files)
    history = take_in(stripped)
    before, after = live().history.get_issuer(), history.get_issuer()
    assert dict(after.holdings) == dict(before.holdings)
    assert after.shares_reserved == before.shares_reserved
    assert total_shares(after).options == total_shares(before).options
    assert total_shares(after).warrants == total_shares(before).warrants
    outstanding = sorted(each.outstanding_usd for each in history.list_instruments().values())
    assert outstanding == [50_000, 100_000]
    again = render_package(history)
    assert check_files(again) == ()
    assert render_package(take_in(again, 4)) == again


def test_what_is_lost_without_the_sidecar_is_told(files):
    findings = judge(strip_sidecar(files)).findings
    assert {each.level for each in findings} == {"loss"}
    codes = {each.code for each in findings}
    assert {"ended_convertible_not_kept", "comments_not_kept", "object_not_kept", "member_not_kept"} <= codes


def test_nothing_may_have_happened_later_than_now(files):
    verdict = judge(files, now=live().acts[20].time)
    assert verdict.intake is None
    assert {each.code for each in verdict.findings} == {"date_in_future"}


def test_a_package_is_named_by_its_files_not_by_its_zip(files):
    assert compute_hash(parse_zip(render_zip(files))) == compute_hash(files)


def test_an_issuer_that_was_never_formed_is_not_exported():
    with pytest.raises(Refusal) as caught:
        render_package(History("iss_00000000000000000000000001", ()))
    assert caught.value.code == "issuer_unknown"
