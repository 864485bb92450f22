"""The auditor finds budget above a mandate's cap for one vendor or generation of GPUs, in code of its own."""

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from events.mandate import MandateBudgetCaptured, MandateBudgetReleased
from marketplace.auditor import caps
from marketplace.auditor.caps import Caps
from marketplace.auditor.relations import Relation, Relations
from marketplace.auditor.stream import Findings, Message
from marketplace.core.ids import rename_id
from marketplace.domain.supply import gpu_vendors
from tests.domain import build
from tests.domain.build import HOLD, ISSUER, NOW, usd
from tests.domain.trading.test_mandate import BARRED, GRANT_2, HOLD_2, ISSUER_2, amended, granted, held

CAPS = granted(vendor_share_max=usd("0.5"), generation_share_max=usd("0.45"))
HOPPER = held(amount=400, gpu_classes=("H100_SXM", "MI300X"))
AMD = held(HOLD_2, ISSUER_2, amount=400, gpu_classes=("MI300X",))
RELEASED = MandateBudgetReleased(mandate_id=build.MANDATE, hold_id=HOLD, amount_usd=usd(0), reason="not needed")
WON = MandateBudgetCaptured(
    mandate_id=build.MANDATE, hold_id=HOLD, grant_id=build.GRANT, amount_usd=usd(400), gpu_class="H100_SXM"
)
SECOND = replace(WON, hold_id=HOLD_2, grant_id=GRANT_2, gpu_class="MI300X")


def audit(*events):
    part = Caps(Findings())
    play(part, *events)
    return [text.split(" USD for ")[1].split(",")[0] for _, _, text in part.findings.kept]


def play(part, *events):
    for number, event in enumerate(events):
        headers = {"ce-type": f"marketplace.{event.__struct_config__.tag}", "ce-time": NOW.isoformat()}
        part.take([Message(number, "marketplace.mandate.x", headers, msgspec.json.encode(event))])


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((CAPS, HOPPER, WON, AMD, SECOND), []),
        ((CAPS, HOPPER, replace(RELEASED, amount_usd=usd(400)), AMD), []),
        ((CAPS, HOPPER, amended(vendor_share_max=usd("0.3"))), []),
        ((CAPS, HOPPER, AMD), ["vendor amd", "generation cdna_3"]),
        ((CAPS, HOPPER, WON, AMD, replace(SECOND, gpu_class="H200_SXM")), ["vendor nvidia", "generation hopper"]),
        ((CAPS, replace(HOPPER, amount_usd=usd("450.01"))), ["generation cdna_3", "generation hopper"]),
        ((CAPS, HOPPER, amended(vendor_share_max=usd("0.3")), WON), ["vendor nvidia"]),
    ],
)
def test_budget_above_a_cap_is_found(events, found):
    assert sorted(audit(*events)) == sorted(found)


@pytest.mark.parametrize("days", [(7, -1), (-1, 7)])
def test_an_issuer_is_kept_away_for_the_longest_of_its_refusals(days):
    first, second = (NOW + timedelta(days=each) for each in days)
    part = Caps(Findings())
    play(part, CAPS, held(amount=1), held(HOLD_2, amount=1))
    play(part, replace(BARRED, barred_until=first), replace(BARRED, hold_id=HOLD_2, barred_until=second))
    play(part, held(rename_id("hld", GRANT_2), amount=1))
    assert [rule for rule, _, _ in part.findings.kept] == ["cap"]


@pytest.mark.parametrize(
    ("amount", "related", "found"), [(300, True, 0), (400, False, 0), (301, True, 1), (601, False, 1)]
)
def test_related_issuers_draw_no_more_than_one(amount, related, found):
    relations = Relations(Findings(), now=NOW)
    ends = tuple(rename_id("pty", issuer_id) for issuer_id in (ISSUER, ISSUER_2))
    relations.relations["rel"] = Relation(ends, firm_at=NOW - timedelta(hours=2) if related else None)
    part = Caps(Findings(), relations)
    second = held(HOLD_2, ISSUER_2, amount=amount if amount < 600 else 1)
    play(part, granted(), held(amount=max(300, amount if amount > 600 else 0)), second)
    assert len(part.findings.kept) == found


def test_both_codes_name_the_same_vendors_and_generations():
    starts = {name for names, _ in (*gpu_vendors._VENDORS, *gpu_vendors._GENERATIONS) for name in names}
    series = {f"{name}{number}" for name in gpu_vendors._NUMBERED for number in ("3", "_5E", "7X")}
    classes = sorted(
        {f"{start}{rest}" for start in starts for rest in ("", "00_SXM", "_X", "5")} | series | {"X1", "RX"}
    )
    for gpu_class in classes:
        assert caps.find_vendor(gpu_class) == gpu_vendors.find_vendor(gpu_class), gpu_class
        assert caps.find_generation(gpu_class) == gpu_vendors.find_generation(gpu_class), gpu_class
