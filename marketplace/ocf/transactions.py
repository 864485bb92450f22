"""Transactions of an OCF package; see `values`.

``TX_PLAN_SECURITY_…`` is the older name of ``TX_EQUITY_COMPENSATION_…``.
"""

from datetime import date
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from marketplace.ocf.objects import Item
from marketplace.ocf.values import (
    AnyTrigger,
    Exemption,
    Monetary,
    Numeric,
    Plain,
    Ratio,
    RatioMechanism,
    TerminationWindow,
    Vesting,
)

OLDER_NAME = "TX_PLAN_SECURITY_"
NAME = "TX_EQUITY_COMPENSATION_"


class Transaction(Item, frozen=True, kw_only=True):
    """Something that happened on a day."""

    date: date


class OfSecurity(Transaction, frozen=True, kw_only=True):
    """Something that happened to a security."""

    security_id: str


class Issuance(OfSecurity, frozen=True, kw_only=True):
    """A security was issued."""

    custom_id: str
    stakeholder_id: str
    security_law_exemptions: tuple[Exemption, ...]
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET
    consideration_text: str | UnsetType = UNSET


class StockIssuance(Issuance, frozen=True, kw_only=True, tag="TX_STOCK_ISSUANCE"):
    """Shares were issued."""

    stock_class_id: str
    share_price: Monetary
    quantity: Numeric
    stock_legend_ids: tuple[str, ...]
    stock_plan_id: str | UnsetType = UNSET
    share_numbers_issued: tuple[Plain, ...] | UnsetType = UNSET
    vesting_terms_id: str | UnsetType = UNSET
    vestings: tuple[Vesting, ...] | UnsetType = UNSET
    cost_basis: Monetary | UnsetType = UNSET
    issuance_type: Literal["RSA", "FOUNDERS_STOCK"] | UnsetType = UNSET


class ConvertibleIssuance(Issuance, frozen=True, kw_only=True, tag="TX_CONVERTIBLE_ISSUANCE"):
    """A SAFE, a note, or one tranche of a drawdown was issued."""

    investment_amount: Monetary
    convertible_type: Literal["NOTE", "SAFE", "CONVERTIBLE_SECURITY"]
    conversion_triggers: tuple[AnyTrigger, ...]
    seniority: int
    pro_rata: Numeric | UnsetType = UNSET


class WarrantIssuance(Issuance, frozen=True, kw_only=True, tag="TX_WARRANT_ISSUANCE"):
    """A right to buy shares was issued."""

    exercise_triggers: tuple[AnyTrigger, ...]
    purchase_price: Monetary
    quantity: Numeric | UnsetType = UNSET
    exercise_price: Monetary | UnsetType = UNSET
    warrant_expiration_date: date | UnsetType = UNSET
    vesting_terms_id: str | UnsetType = UNSET
    vestings: tuple[Vesting, ...] | UnsetType = UNSET
    quantity_source: str | UnsetType = UNSET


class CompensationIssuance(Issuance, frozen=True, kw_only=True, tag="TX_EQUITY_COMPENSATION_ISSUANCE"):
    """An option, or another right of an employee, was issued."""

    compensation_type: Literal["OPTION_NSO", "OPTION_ISO", "OPTION", "RSU", "CSAR", "SSAR"]
    quantity: Numeric
    expiration_date: date | None
    termination_exercise_windows: tuple[TerminationWindow, ...]
    stock_plan_id: str | UnsetType = UNSET
    stock_class_id: str | UnsetType = UNSET
    option_grant_type: Literal["NSO", "ISO", "INTL"] | UnsetType = UNSET
    exercise_price: Monetary | UnsetType = UNSET
    base_price: Monetary | UnsetType = UNSET
    early_exercisable: bool | UnsetType = UNSET
    vesting_terms_id: str | UnsetType = UNSET
    vestings: tuple[Vesting, ...] | UnsetType = UNSET


class Acceptance(OfSecurity, frozen=True, kw_only=True):
    """A security was accepted by its holder."""


class Cancellation(OfSecurity, frozen=True, kw_only=True):
    """A security was cancelled, in whole or in part."""

    reason_text: str
    balance_security_id: str | UnsetType = UNSET


class ShareCancellation(Cancellation, frozen=True, kw_only=True):
    """A number of shares was cancelled."""

    quantity: Numeric


class StockCancellation(ShareCancellation, frozen=True, kw_only=True, tag="TX_STOCK_CANCELLATION"):
    """Stock was cancelled."""


class WarrantCancellation(ShareCancellation, frozen=True, kw_only=True, tag="TX_WARRANT_CANCELLATION"):
    """A warrant was cancelled, in whole or in part."""


class CompensationCancellation(ShareCancellation, frozen=True, kw_only=True, tag="TX_EQUITY_COMPENSATION_CANCELLATION"):
    """An option was cancelled, in whole or in part."""


class ConvertibleCancellation(Cancellation, frozen=True, kw_only=True, tag="TX_CONVERTIBLE_CANCELLATION"):
    """Principal was cancelled."""

    amount: Monetary


class Retraction(OfSecurity, frozen=True, kw_only=True):
    """An issuance was retracted: the security should never have been issued."""

    reason_text: str


class Transfer(OfSecurity, frozen=True, kw_only=True):
    """A security, or part of it, changed hands."""

    resulting_security_ids: tuple[str, ...]
    balance_security_id: str | UnsetType = UNSET
    consideration_text: str | UnsetType = UNSET


class ShareTransfer(Transfer, frozen=True, kw_only=True):
    """A number of shares changed hands."""

    quantity: Numeric


class StockTransfer(ShareTransfer, frozen=True, kw_only=True, tag="TX_STOCK_TRANSFER"):
    """Stock changed hands."""


class WarrantTransfer(ShareTransfer, frozen=True, kw_only=True, tag="TX_WARRANT_TRANSFER"):
    """A warrant changed hands, in whole or in part."""


class CompensationTransfer(ShareTransfer, frozen=True, kw_only=True, tag="TX_EQUITY_COMPENSATION_TRANSFER"):
    """An option changed hands, in whole or in part."""


class ConvertibleTransfer(Transfer, frozen=True, kw_only=True, tag="TX_CONVERTIBLE_TRANSFER"):
    """Principal changed hands."""

    amount: Monetary


class StockRepurchase(OfSecurity, frozen=True, kw_only=True, tag="TX_STOCK_REPURCHASE"):
    """The company bought shares back."""

    price: Monetary
    quantity: Numeric
    balance_security_id: str | UnsetType = UNSET
    consideration_text: str | UnsetType = UNSET


class Exercise(OfSecurity, frozen=True, kw_only=True):
    """A right became shares."""

    resulting_security_ids: tuple[str, ...]
    consideration_text: str | UnsetType = UNSET


class CompensationExercise(Exercise, frozen=True, kw_only=True, tag="TX_EQUITY_COMPENSATION_EXERCISE"):
    """An option was exercised."""

    quantity: Numeric


class WarrantExercise(Exercise, frozen=True, kw_only=True, tag="TX_WARRANT_EXERCISE"):
    """A warrant was exercised."""

    trigger_id: str


class CompensationRelease(OfSecurity, frozen=True, kw_only=True, tag="TX_EQUITY_COMPENSATION_RELEASE"):
    """Vested units became shares."""

    settlement_date: date
    release_price: Monetary
    quantity: Numeric
    resulting_security_ids: tuple[str, ...]
    consideration_text: str | UnsetType = UNSET


class ConvertibleConversion(OfSecurity, frozen=True, kw_only=True, tag="TX_CONVERTIBLE_CONVERSION"):
    """Principal became shares."""

    reason_text: str
    trigger_id: str
    resulting_security_ids: tuple[str, ...]
    quantity_converted: Numeric | UnsetType = UNSET
    balance_security_id: str | UnsetType = UNSET
    capitalization_definition: Plain | UnsetType = UNSET


class StockConversion(OfSecurity, frozen=True, kw_only=True, tag="TX_STOCK_CONVERSION"):
    """Shares became shares of another class."""

    quantity_converted: Numeric
    resulting_security_ids: tuple[str, ...]
    balance_security_id: str | UnsetType = UNSET


class StockReissuance(OfSecurity, frozen=True, kw_only=True, tag="TX_STOCK_REISSUANCE"):
    """Shares were issued again, say after a split."""

    resulting_security_ids: tuple[str, ...]
    split_transaction_id: str | UnsetType = UNSET
    reason_text: str | UnsetType = UNSET


class StockClassSplit(Transaction, frozen=True, kw_only=True, tag="TX_STOCK_CLASS_SPLIT"):
    """The shares of a class were multiplied by a ratio; below 1, they were consolidated."""

    stock_class_id: str
    split_ratio: Ratio


class IssuerAuthorized(Transaction, frozen=True, kw_only=True, tag="TX_ISSUER_AUTHORIZED_SHARES_ADJUSTMENT"):
    """The number of shares that the company may issue changed."""

    issuer_id: str
    new_shares_authorized: Numeric
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET


class ClassAuthorized(Transaction, frozen=True, kw_only=True, tag="TX_STOCK_CLASS_AUTHORIZED_SHARES_ADJUSTMENT"):
    """The authorised shares of a class changed."""

    stock_class_id: str
    new_shares_authorized: Numeric
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET


class ClassRatio(Transaction, frozen=True, kw_only=True, tag="TX_STOCK_CLASS_CONVERSION_RATIO_ADJUSTMENT"):
    """The conversion ratio of a class changed."""

    stock_class_id: str
    new_ratio_conversion_mechanism: RatioMechanism


class PlanAdjustment(Transaction, frozen=True, kw_only=True, tag="TX_STOCK_PLAN_POOL_ADJUSTMENT"):
    """The size of the option pool changed."""

    stock_plan_id: str
    shares_reserved: Numeric
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET


class ReturnToPool(OfSecurity, frozen=True, kw_only=True, tag="TX_STOCK_PLAN_RETURN_TO_POOL"):
    """Shares came back to the pool."""

    stock_plan_id: str
    quantity: Numeric
    reason_text: str


class VestingStart(OfSecurity, frozen=True, kw_only=True, tag="TX_VESTING_START"):
    """A schedule began."""

    vesting_condition_id: str


class VestingEvent(OfSecurity, frozen=True, kw_only=True, tag="TX_VESTING_EVENT"):
    """A condition was met."""

    vesting_condition_id: str


class VestingAcceleration(OfSecurity, frozen=True, kw_only=True, tag="TX_VESTING_ACCELERATION"):
    """Shares vested early."""

    quantity: Numeric
    reason_text: str


def _named(kind: str, what: str, base: type[OfSecurity]) -> type[OfSecurity]:
    """Return a transaction type for one kind of security, with the members of `base`."""
    made = msgspec.defstruct(
        f"{kind}_{what}".title().replace("_", ""),
        [],
        bases=(base,),
        tag=f"TX_{kind}_{what}",
        frozen=True,
        kw_only=True,
        namespace={"__doc__": base.__doc__},
    )
    assert issubclass(made, base)
    return made


_KINDS = ("STOCK", "CONVERTIBLE", "WARRANT", "EQUITY_COMPENSATION")
TRANSACTIONS: tuple[type[Transaction], ...] = (
    StockIssuance,
    ConvertibleIssuance,
    WarrantIssuance,
    CompensationIssuance,
    *(_named(kind, "ACCEPTANCE", Acceptance) for kind in _KINDS),
    *(_named(kind, "RETRACTION", Retraction) for kind in _KINDS),
    StockTransfer,
    WarrantTransfer,
    CompensationTransfer,
    ConvertibleTransfer,
    StockCancellation,
    WarrantCancellation,
    CompensationCancellation,
    ConvertibleCancellation,
    StockRepurchase,
    CompensationExercise,
    WarrantExercise,
    CompensationRelease,
    ConvertibleConversion,
    StockConversion,
    StockReissuance,
    StockClassSplit,
    IssuerAuthorized,
    ClassAuthorized,
    ClassRatio,
    PlanAdjustment,
    ReturnToPool,
    VestingStart,
    VestingEvent,
    VestingAcceleration,
)
