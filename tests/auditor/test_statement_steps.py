"""The auditor follows the states of statements."""

import json

import pytest

from marketplace.auditor.market import Market
from marketplace.auditor.stream import Findings, Message

OF = {"statement_id": "stm_1", "grant_id": "gra_1"}


def tell(number, name, **body):
    headers = {"ce-type": f"marketplace.statement.{name}.v1", "ce-time": "2026-01-02T00:00:00Z", "ce-actor": "platform"}
    return Message(number, "", headers, json.dumps({**OF, **body}).encode())


@pytest.mark.parametrize(("by", "faults"), [("sale", 0), ("concession", 1)])
def test_a_sale_lowers_a_statement_that_nobody_disputed(by, faults):
    """What silence accepts after the company was sold is paid in cash, and was reported as a fault of the log."""
    findings = Findings()
    part = Market(findings)
    issued = {"accept_until": "2026-01-09T00:00:00Z", "period_start": "2026-01-01T00:00:00Z"}
    part.take([tell(1, "issued", **issued)])
    part.take([tell(2, "resolved", by=by), tell(3, "accepted", by="silence")])
    assert [text for _, _, text in findings.kept if "cannot be" in text] == [
        "stm_1 is issued and cannot be resolved"
    ] * faults
