"""An auditor with nothing but the exported document: what is whole passes, and whatever is forged is named."""

import json
import subprocess
import sys
from copy import deepcopy
from decimal import Decimal

import pytest

from marketplace.clearing.bundle import parse_bundle, render_bundle
from marketplace.clearing.codec import hash_json
from marketplace.clearing.engine import clear
from marketplace.clearing.verify.verifier import find_violations
from marketplace.core.errors import Refusal
from tests.clearing.books import book, order, random_book
from tests.clearing.ruled_books import random_ruled_book

CROWDED = book(
    order("rich", 3, 4, (0, 2), value="5"),
    order("middle", 2, 4, (0, 2), value="3"),
    order("poor", 2, 4, (0, 0), value="2"),
    order("late", 1, 2, (6, 8), value="4"),
    lots=(("a", 2, 0, 10, "1"), ("b", 2, 0, 10, "1.5")),
)


def export(given=CROWDED, seed=1):
    """Return the document of a cleared book as it is after a way through a file."""
    return json.loads(json.dumps(render_bundle(given, clear(given, seed=seed))))


def check(document):
    return [violation.code for violation in find_violations(*parse_bundle(document))]


def rehash(document):
    """Make the forged parts' hashes right again, as a forger would."""
    certificate = document["certificate"]
    certificate["book_hash"] = hash_json(document["book"])
    certificate["prices_hash"] = hash_json(document["prices"])
    certificate["decisions_hash"] = hash_json(document["decisions"])


@pytest.mark.parametrize("seed", range(6))
def test_an_exported_auction_passes_and_means_the_same(seed):
    for given in (random_book(seed, mandates=True), random_ruled_book(seed)):
        document = export(given, seed)
        read, clearing = parse_bundle(document)
        assert render_bundle(read, clearing) == document
        assert find_violations(read, clearing) == ()


def find(document, matched):
    return next(one for one in document["decisions"] if (one["match"] is not None) == matched)


def lower_an_offer(document):
    document["book"]["orders"][0]["bids"][0]["value_usd_per_gpu_hour"] = "4.99"


def raise_a_price(document):
    for run in document["prices"]:
        run["price_usd_per_gpu_hour"] = "9"


def split_a_price(document):
    document["prices"].append(document["prices"][0] | {"price_usd_per_gpu_hour": "0.01"})


def raise_an_idle_price(document):
    document["prices"].append({"pool_id": "p", "from_period": 9, "to_period": 10, "price_usd_per_gpu_hour": "1.2"})
    for run in document["prices"][:-1]:
        run["to_period"] = min(run["to_period"], 9)


def let_a_loser_win(document):
    loser, winner = find(document, matched=False), find(document, matched=True)
    loser["match"] = deepcopy(winner["match"])
    loser["reasons"], loser["price_to_win_usd_per_gpu_hour"], loser["price_to_win_range"] = [], None, None


def let_a_winner_lose(document):
    winner = find(document, matched=True)
    winner |= {
        "match": None,
        "second_best": None,
        "total_usd": None,
        "reasons": [{"code": "outbid", "text": "", "facts": {}}],
    }


def move_a_winner(document):
    match = find(document, matched=True)["match"]
    match["start_period"], match["end_period"] = match["start_period"] + 3, match["end_period"] + 3
    for share in match["lots"]:
        share["from_period"], share["to_period"] = share["from_period"] + 3, share["to_period"] + 3


def shrink_a_winner(document):
    match = find(document, matched=True)["match"]
    match["nodes"] -= 1


def add(name, amount):
    def forge(document):
        document["certificate"][name] = str(Decimal(document["certificate"][name]) + Decimal(str(amount)))

    return forge


def drop(name):
    def forge(document):
        del document["certificate"][name]

    return forge


def hide_idle_supply(document):
    document["idle_supply"].pop()


def name_a_false_cause(document):
    document["idle_supply"][0]["cause"] = "used_lot"


def overstate_idle_supply(document):
    document["idle_supply"][0]["nodes"] += 1


def drop_a_decision(document):
    document["decisions"].pop()


def drop_the_proof(document):
    document["shadow_prices"] = []


def deny_a_regret(document):
    find(document, matched=False)["regret_usd"] = "1000"


def charge_more(document):
    find(document, matched=True)["match"]["total_usd"] = "1"


def invent_a_second_best(document):
    find(document, matched=True)["second_best"] = {
        "pool_id": "p",
        "mandate_id": None,
        "nodes": 1,
        "start_period": 9,
        "surplus_difference_usd": "1",
    }


FORGERIES = [
    (lower_an_offer, {"bid"}),
    (raise_a_price, {"price_mean", "above_value"}),
    (raise_a_price, {"above_bids"}),
    (raise_an_idle_price, {"idle_price"}),
    (split_a_price, {"price_runs"}),
    (let_a_loser_win, {"bid", "size", "window", "lots", "oversold"}),
    (let_a_winner_lose, {"welfare", "regret", "price_to_win"}),
    (move_a_winner, {"window", "oversold"}),
    (shrink_a_winner, {"size"}),
    (add("welfare_usd", 100), {"welfare"}),
    (add("lp_bound_usd", -100), {"bound"}),
    (add("gap", 0.01), {"gap"}),
    (add("price_loss_max", -0.01), {"price_loss"}),
    (add("price_loss_max", 0.5), {"price_loss"}),
    (drop("price_loss_max"), {"price_loss"}),
    (drop("price_loss_kind"), {"price_loss"}),
    (add("dual_bound_usd", -100), {"dual_bound"}),
    (add("dual_bound_usd", 1_000_000), {"dual_bound"}),
    (drop_a_decision, {"decisions"}),
    (drop_the_proof, {"bound"}),
    (deny_a_regret, {"regret"}),
    (charge_more, {"total"}),
    (invent_a_second_best, {"second_best"}),
]


@pytest.mark.parametrize(("forge", "named"), FORGERIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_forged_result_is_refused_by_name_even_with_its_hashes_made_right(forge, named):
    document = export()
    assert check(document) == []
    forge(document)
    rehash(document)
    found = check(document)
    assert found
    assert named & set(found), found


@pytest.mark.parametrize(
    ("forge", "named"),
    [
        (hide_idle_supply, ["idle_supply"]),
        (name_a_false_cause, ["idle_supply"]),
        (overstate_idle_supply, ["idle_supply"]),
        (add("idle_supply_usd", 1), ["idle_total"]),
    ],
)
def test_idle_supply_in_the_money_is_stated_as_it_is_with_its_cause(forge, named):
    orders = order("large", 7, 1, (0, 0), value="2"), order("rejected", 2, 1, (0, 0), value="3.5")
    document = export(book(*orders, lots=(("a", 8, 0, 1, "1"), ("b", 2, 0, 1, "3")), periods=1))
    assert check(document) == []
    assert document["idle_supply"][0]["cause"] == "rejected_orders"
    forge(document)
    assert check(document) == named


def test_a_price_above_idle_nodes_that_no_rejected_order_needs_is_refused():
    document = export(book(order("only", 1, 2, (0, 0), value="5"), lots=(("a", 3, 0, 2, "1"),), periods=2))
    assert check(document) == []
    for run in document["prices"]:
        run["price_usd_per_gpu_hour"] = "2"
    assert "needless_price" in check(document)


@pytest.mark.parametrize(
    ("forge", "code"),
    [(lower_an_offer, "book_hash"), (deny_a_regret, "decisions_hash"), (split_a_price, "prices_hash")],
)
def test_what_the_certificate_does_not_name_is_refused(forge, code):
    document = export()
    forge(document)
    assert code in check(document)


def test_a_loss_by_the_bound_is_the_gap_and_one_by_the_optimum_at_most_the_gap():
    document = export(random_book(54, mandates=True))
    certificate = document["certificate"]
    assert Decimal(certificate["price_loss_max"]) < Decimal(certificate["gap"])
    assert check(document) == []
    certificate["price_loss_kind"] = "lp_bound"
    assert check(document) == ["price_loss"]
    certificate["price_loss_max"] = certificate["gap"]
    assert check(document) == []
    certificate["price_loss_kind"] = "optimum"
    add("price_loss_max", 0.000001)(document)
    assert check(document) == ["price_loss", "dual_bound"]


def test_a_dual_bound_that_is_the_optimum_is_what_the_loss_is_a_share_of():
    document = export(random_book(54, mandates=True))
    certificate = document["certificate"]
    assert Decimal(certificate["welfare_usd"]) < Decimal(certificate["dual_bound_usd"])
    add("dual_bound_usd", 1)(document)
    assert check(document) == ["dual_bound"]
    certificate["price_loss_kind"], certificate["price_loss_max"] = "lp_bound", certificate["gap"]
    assert check(document) == []


def test_a_certificate_from_before_the_dual_bound_was_stated_still_passes():
    document = export()
    drop("dual_bound_usd")(document)
    assert check(document) == []
    assert "dual_bound_usd" not in render_bundle(*parse_bundle(document))["certificate"]


def test_a_certificate_from_before_the_loss_was_stated_still_passes():
    document = export()
    drop("price_loss_max")(document)
    drop("price_loss_kind")(document)
    assert check(document) == []
    assert "price_loss_max" not in render_bundle(*parse_bundle(document))["certificate"]


def set_price(text):
    def forge(document):
        document["prices"][0]["price_usd_per_gpu_hour"] = text

    return forge


def set_loss(name, text):
    def forge(document):
        document["certificate"][name] = text

    return forge


def run_for_ever(document):
    document["prices"][0]["to_period"] = 10**12


def count_in_words(document):
    find(document, matched=True)["match"]["nodes"] = "three"


def word_in_book(document):
    document["book"]["orders"][0]["nodes"] = "three"


def forget_the_book(document):
    del document["book"]


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (set_price("NaN"), "malformed_bundle"),
        (set_price("1E+999999999"), "malformed_bundle"),
        (set_price(1.5), "malformed_bundle"),
        (run_for_ever, "malformed_bundle"),
        (set_loss("price_loss_max", "NaN"), "malformed_bundle"),
        (set_loss("price_loss_kind", "guess"), "malformed_clearing"),
        (count_in_words, "malformed_clearing"),
        (word_in_book, "malformed_book"),
        (forget_the_book, "malformed_bundle"),
    ],
)
def test_a_document_that_cannot_be_is_refused_before_anything_is_computed(forge, code):
    document = export()
    forge(document)
    with pytest.raises(Refusal) as refused:
        check(document)
    assert refused.value.code == code


def run(target):
    command = [sys.executable, "-m", "marketplace.cli.auction", "verify", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_checks_a_file_or_a_folder_offline_and_names_what_is_broken(tmp_path):
    document = export()
    (tmp_path / "auction.json").write_text(json.dumps(document))
    for target in (tmp_path, tmp_path / "auction.json"):
        done = run(target)
        assert done.returncode == 0, done.stderr
        assert "every rule holds" in done.stdout
    missing = run("nofile.json")
    assert missing.returncode == 2
    assert "there is no file nofile.json" in missing.stderr
    (tmp_path / "certificate.json").write_text(json.dumps(document["certificate"]))
    assert "/audit" in run(tmp_path / "certificate.json").stderr
    add("welfare_usd", 100)(document)
    (tmp_path / "forged.json").write_text(json.dumps(document))
    forged = run(tmp_path / "forged.json")
    assert forged.returncode == 3
    assert "broken welfare at certificate" in forged.stderr
    assert "rules are broken" in forged.stdout
    document = export()
    add("dual_bound_usd", 1_000_000)(document)
    (tmp_path / "one.json").write_text(json.dumps(document))
    one = run(tmp_path / "one.json")
    assert one.returncode == 3
    assert "one rule is broken" in one.stdout
    assert "broken dual_bound at certificate" in one.stderr
    (tmp_path / "torn.json").write_text("{")
    assert run(tmp_path / "torn.json").returncode == 2
