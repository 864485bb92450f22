"""What uniform prices cost is told by the best proof that a certificate has."""

from dataclasses import replace
from decimal import Decimal

from marketplace.clearing.engine import clear
from marketplace.cli.price_loss import render_price_loss
from tests.clearing.books import random_book

CERTIFICATE = replace(
    clear(random_book(54, mandates=True), seed=1).certificate,
    welfare_usd=Decimal(900),
    lp_bound_usd=Decimal(1_200),
    gap=Decimal("0.25"),
    price_loss_max=Decimal("0.25"),
    price_loss_kind="lp_bound",
    dual_bound_usd=Decimal(1_000),
)


def test_the_dual_bound_stands_for_an_optimum_that_was_not_proven():
    assert render_price_loss(CERTIFICATE) == "at most 10.0000 %, by the dual bound of 1,000.00 USD"


def test_a_proven_optimum_is_named_as_such():
    proven = replace(CERTIFICATE, price_loss_max=Decimal("0.1"), price_loss_kind="optimum")
    assert render_price_loss(proven) == "at most 10.0000 %, by the proven optimum"


def test_certificates_from_before_state_what_they_have():
    before = replace(CERTIFICATE, dual_bound_usd=None)
    assert render_price_loss(before) == "at most 25.0000 %, by the bound"
    assert render_price_loss(replace(before, price_loss_max=None, price_loss_kind=None)) == "not stated"
