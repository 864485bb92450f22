"""An event's numbers are those that its certificate proves; a changed one is found though the certificate holds."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace.equity.record_check import check_record, find_records, read_certificate

SAMPLES = Path(__file__).parents[2] / "events" / "samples"
ROUND = json.loads((SAMPLES / "issuer.financing_priced.v1.json").read_text(encoding="utf-8"))
SALE = json.loads((SAMPLES / "issuer.liquidity_declared.v1.json").read_text(encoding="utf-8"))
CHANGES = [
    (ROUND, ("pricing", "price_exact"), "1/1"),
    (ROUND, ("pricing", "price_usd_per_share"), "4.0000"),
    (ROUND, ("pricing", "capitalization_exact"), "9000001/1"),
    (ROUND, ("pricing", "pool_increase_shares"), 1),
    (ROUND, ("pricing", "post_money_shares"), 1),
    (ROUND, ("pricing", "conversions", 0, "shares"), 1),
    (ROUND, ("pricing", "conversions", 0, "branch"), "discount"),
    (ROUND, ("pricing", "allotments", 0, "shares_exact"), "1/1"),
    (SALE, ("waterfall", "proceeds_usd"), "60000001.00"),
    (SALE, ("waterfall", "payouts", 0, "amount_usd"), "1.00"),
    (SALE, ("waterfall", "price_per_common_share_exact"), "1/1"),
]


def change(sample, path, value):
    changed = copy.deepcopy(sample["body"])
    *way, last = path
    place = changed
    for step in way:
        place = place[step]
    assert place[last] != value
    place[last] = value
    return changed


@pytest.mark.parametrize("sample", [ROUND, SALE])
def test_the_samples_say_what_their_certificates_prove(sample):
    (record,) = find_records(sample)
    assert check_record(record, read_certificate(record)) == []


@pytest.mark.parametrize(("sample", "path", "value"), CHANGES)
def test_a_changed_number_is_found(sample, path, value):
    (record,) = find_records(change(sample, path, value))
    (problem,) = check_record(record, read_certificate(record))
    assert "is recorded as" in problem


def test_a_record_that_lacks_a_number_is_told_so():
    (record,) = find_records(ROUND)
    (problem,) = check_record({**record, "conversions": [{}]}, read_certificate(record))
    assert "cannot be read" in problem


def test_the_command_reads_an_event_and_finds_a_changed_number(tmp_path):
    good, bad, broken = (tmp_path / f"{name}.json" for name in ("good", "bad", "broken"))
    good.write_text(json.dumps([ROUND, SALE]))
    bad.write_text(json.dumps(change(ROUND, ("pricing", "post_money_shares"), 1)))
    broken.write_text(json.dumps({"certificate_json": "[]"}))
    for path, status, text in (
        (good, 0, "2 checked, 0 failed"),
        (bad, 1, "post_money_shares is recorded as 1"),
        (broken, 1, "cannot be read"),
    ):
        command = [sys.executable, "-c", "from marketplace.cli import main; main()", "equity", "verify", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, text in done.stdout) == (status, True)
