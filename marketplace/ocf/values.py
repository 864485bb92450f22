"""Values that Open Cap Table Format objects are made of, as version 1.2.0 publishes them.

Together with `objects` and `transactions` this is the one place that knows OCF's shapes. Members that the marketplace
does not interpret (addresses, tax ids, vesting conditions) stay plain JSON. An absent member is `UNSET`. Only the
expiration date of equity compensation may be null.

Source: https://schema.opencaptablecoalition.com/v/1.2.0/

The three modules are written by hand. Their members, and which of them are required, equal the published ones.
"""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Numeric = Annotated[str, Meta(pattern=r"^[+-]?[0-9]+(\.[0-9]{1,10})?(?!\n)$", max_length=100)]
Percentage = Annotated[str, Meta(pattern=r"^(0?(\.[0-9]{1,10})?|1(\.0{1,10})?)(?!\n)$")]
Md5 = Annotated[str, Meta(pattern=r"^[a-fA-F0-9]{32}(?!\n)$")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}(?!\n)$")]
CountryCode = Annotated[str, Meta(pattern=r"^[A-Z]{2}(?!\n)$")]
Plain = dict[str, Any]


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of an object; unknown members are refused."""


class Monetary(Value, frozen=True, kw_only=True):
    """An amount of money."""

    amount: Numeric
    currency: Currency


class Ratio(Value, frozen=True, kw_only=True):
    """The ratio of two numbers."""

    numerator: Numeric
    denominator: Numeric


class File(Value, frozen=True, kw_only=True):
    """A file of the package, as the manifest lists it."""

    filepath: str
    md5: Md5


class Name(Value, frozen=True, kw_only=True):
    """The name of a stakeholder."""

    legal_name: str
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET


class Vesting(Value, frozen=True, kw_only=True):
    """Shares that vest on a day."""

    date: date
    amount: Numeric


class Exemption(Value, frozen=True, kw_only=True):
    """A securities law exemption."""

    description: str
    jurisdiction: str


TerminationReason = Literal[
    "VOLUNTARY_OTHER",
    "VOLUNTARY_GOOD_CAUSE",
    "VOLUNTARY_RETIREMENT",
    "INVOLUNTARY_OTHER",
    "INVOLUNTARY_DEATH",
    "INVOLUNTARY_DISABILITY",
    "INVOLUNTARY_WITH_CAUSE",
]


class TerminationWindow(Value, frozen=True, kw_only=True):
    """How long after an end of service an option may be exercised."""

    reason: str
    period: int
    period_type: str


class ObjectReference(Value, frozen=True, kw_only=True):
    """A reference to another object."""

    object_type: str
    object_id: str


class InterestRate(Value, frozen=True, kw_only=True):
    """A rate of interest from a day on, and until another if that is stated."""

    rate: Percentage
    accrual_start_date: date
    accrual_end_date: date | UnsetType = UNSET


class Mechanism(Value, frozen=True, kw_only=True, tag_field="type"):
    """How a security converts."""


class SafeMechanism(Mechanism, frozen=True, kw_only=True, tag="SAFE_CONVERSION"):
    """Conversion of a Simple Agreement for Future Equity."""

    conversion_mfn: bool
    conversion_discount: Percentage | UnsetType = UNSET
    conversion_valuation_cap: Monetary | UnsetType = UNSET
    exit_multiple: Ratio | UnsetType = UNSET
    conversion_timing: Literal["PRE_MONEY", "POST_MONEY"] | UnsetType = UNSET
    capitalization_definition: str | UnsetType = UNSET
    capitalization_definition_rules: Plain | UnsetType = UNSET


class NoteMechanism(Mechanism, frozen=True, kw_only=True, tag="CONVERTIBLE_NOTE_CONVERSION"):
    """Conversion of a convertible note."""

    interest_rates: tuple[InterestRate, ...]
    day_count_convention: Literal["ACTUAL_365", "30_360"]
    interest_payout: Literal["DEFERRED", "CASH"]
    interest_accrual_period: Literal["DAILY", "MONTHLY", "QUARTERLY", "SEMI_ANNUAL", "ANNUAL"]
    compounding_type: Literal["COMPOUNDING", "SIMPLE"]
    conversion_discount: Percentage | UnsetType = UNSET
    conversion_valuation_cap: Monetary | UnsetType = UNSET
    capitalization_definition: str | UnsetType = UNSET
    capitalization_definition_rules: Plain | UnsetType = UNSET
    exit_multiple: Ratio | UnsetType = UNSET
    conversion_mfn: bool | UnsetType = UNSET


class RatioMechanism(Mechanism, frozen=True, kw_only=True, tag="RATIO_CONVERSION"):
    """Conversion at a fixed ratio of shares."""

    conversion_price: Monetary
    ratio: Ratio
    rounding_type: Literal["CEILING", "FLOOR", "NORMAL"]


class FixedMechanism(Mechanism, frozen=True, kw_only=True, tag="FIXED_AMOUNT_CONVERSION"):
    """Conversion into a fixed number of shares."""

    converts_to_quantity: Numeric


class PercentMechanism(Mechanism, frozen=True, kw_only=True, tag="FIXED_PERCENT_OF_CAPITALIZATION_CONVERSION"):
    """Conversion into a fixed part of the company."""

    converts_to_percent: Percentage
    capitalization_definition: str | UnsetType = UNSET
    capitalization_definition_rules: Plain | UnsetType = UNSET


class PriceMechanism(Mechanism, frozen=True, kw_only=True, tag="PPS_BASED_CONVERSION"):
    """Conversion at the price of a round, less a discount."""

    description: str
    discount: bool
    discount_percentage: Percentage | UnsetType = UNSET
    discount_amount: Monetary | UnsetType = UNSET


class ValuationMechanism(Mechanism, frozen=True, kw_only=True, tag="VALUATION_BASED_CONVERSION"):
    """Conversion at a valuation of the company."""

    valuation_type: Literal["FIXED", "ACTUAL", "CAP"]
    valuation_amount: Monetary | UnsetType = UNSET
    capitalization_definition: str | UnsetType = UNSET
    capitalization_definition_rules: Plain | UnsetType = UNSET


class CustomMechanism(Mechanism, frozen=True, kw_only=True, tag="CUSTOM_CONVERSION"):
    """Conversion that is described in words only."""

    custom_conversion_description: str


AnyMechanism = (
    SafeMechanism
    | NoteMechanism
    | RatioMechanism
    | FixedMechanism
    | PercentMechanism
    | PriceMechanism
    | ValuationMechanism
    | CustomMechanism
)


class ConversionRight(Value, frozen=True, kw_only=True):
    """What a security converts into, and how."""

    type: Literal["CONVERTIBLE_CONVERSION_RIGHT", "WARRANT_CONVERSION_RIGHT", "STOCK_CLASS_CONVERSION_RIGHT"]
    conversion_mechanism: AnyMechanism
    converts_to_future_round: bool | UnsetType = UNSET
    converts_to_stock_class_id: str | UnsetType = UNSET


class Trigger(Value, frozen=True, kw_only=True, tag_field="type"):
    """When a security converts."""

    trigger_id: str
    conversion_right: ConversionRight
    nickname: str | UnsetType = UNSET
    trigger_description: str | UnsetType = UNSET


class AutomaticOnCondition(Trigger, frozen=True, kw_only=True, tag="AUTOMATIC_ON_CONDITION"):
    """Converts automatically once a condition holds."""

    trigger_condition: str


class AutomaticOnDate(Trigger, frozen=True, kw_only=True, tag="AUTOMATIC_ON_DATE"):
    """Converts automatically on a day."""

    trigger_date: date


class ElectiveInRange(Trigger, frozen=True, kw_only=True, tag="ELECTIVE_IN_RANGE"):
    """The holder may convert between two days."""

    start_date: date
    end_date: date


class ElectiveOnCondition(Trigger, frozen=True, kw_only=True, tag="ELECTIVE_ON_CONDITION"):
    """The holder may convert once a condition holds."""

    trigger_condition: str


class ElectiveAtWill(Trigger, frozen=True, kw_only=True, tag="ELECTIVE_AT_WILL"):
    """The holder may convert at any time."""


class Unspecified(Trigger, frozen=True, kw_only=True, tag="UNSPECIFIED"):
    """A trigger of which the package does not say when it takes effect."""


AnyTrigger = (
    AutomaticOnCondition | AutomaticOnDate | ElectiveInRange | ElectiveOnCondition | ElectiveAtWill | Unspecified
)
