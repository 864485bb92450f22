"""A history has one order, whatever the order of loading, and is cut at two times."""

from datetime import timedelta

import pytest

from events.issuer import IssuerImported
from marketplace.captable.history import Act, build_history
from marketplace.core.errors import Refusal
from marketplace.domain.equity.issuer.state import total_shares
from tests.captable.company import FORMED_ON, ISS, Life, found, live


def test_the_order_does_not_depend_on_the_order_of_loading():
    life = live()
    grouped = sorted(life.acts, key=lambda act: act.aggregate, reverse=True)
    assert build_history(ISS, grouped) == life.history
    renumbered = [act._replace(sequence=1_000 - act.sequence) for act in life.acts]
    assert [act.event for act in build_history(ISS, renumbered).acts] == [act.event for act in life.history.acts]


def test_a_history_is_cut_at_an_instant_and_at_a_sequence():
    history = live().history
    first = history.until(FORMED_ON + timedelta(days=9))
    assert {act.time for act in first.acts} <= {FORMED_ON + timedelta(days=n) for n in range(1, 10)}
    late = Act(900, FORMED_ON + timedelta(days=2), ISS, history.acts[1].event)
    known = build_history(ISS, [*history.acts, late])
    assert late in known.until(at=FORMED_ON + timedelta(days=3)).acts
    assert late not in known.until(at=FORMED_ON + timedelta(days=3), known=899).acts


def test_states_are_those_of_the_deciders():
    life = live()
    assert life.history.get_issuer() == life.issuer
    assert life.history.list_instruments() == life.instruments
    assert life.history.last_sequence == len(life.acts)


def test_an_import_stands_first_though_it_was_recorded_last():
    life = Life()
    found(life)
    event = IssuerImported(issuer_id=ISS, source="x", package_hash="ab", origins={"iss_x": "other"})
    imported = Act(0, life.time + timedelta(days=900), ISS, event)
    history = build_history(ISS, [imported, *life.acts])
    assert history.acts[0] == imported
    assert history.get_origins() == {"iss_x": "other"}
    assert total_shares(history.get_issuer()) == total_shares(life.issuer)
    assert total_shares(history.until(at=life.time).get_issuer()) == total_shares(life.issuer)


def test_before_its_formation_there_is_no_issuer():
    with pytest.raises(Refusal) as caught:
        live().history.until(at=FORMED_ON).get_issuer()
    assert caught.value.code == "issuer_unknown"
