"""Objects of an OCF package other than transactions, and the manifest; see `values`."""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from marketplace.ocf.values import (
    ConversionRight,
    CountryCode,
    File,
    Md5,
    Monetary,
    Name,
    Numeric,
    ObjectReference,
    Plain,
)

Authorised = Annotated[
    str, Meta(pattern=r"^(NOT APPLICABLE|UNLIMITED|[+-]?[0-9]+(\.[0-9]{1,10})?)(?!\n)$", max_length=100)
]
RelationshipType = Literal[
    "ADVISOR",
    "BOARD_MEMBER",
    "CONSULTANT",
    "EMPLOYEE",
    "EX_ADVISOR",
    "EX_CONSULTANT",
    "EX_EMPLOYEE",
    "EXECUTIVE",
    "FOUNDER",
    "INVESTOR",
    "NON_US_EMPLOYEE",
    "OFFICER",
    "OTHER",
]


class Item(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="object_type",
):
    """An object with an id; unknown members are refused."""

    id: str
    comments: tuple[str, ...] | UnsetType = UNSET


class Issuer(Item, frozen=True, kw_only=True, tag="ISSUER"):
    """The company."""

    legal_name: str
    formation_date: date
    country_of_formation: CountryCode
    dba: str | UnsetType = UNSET
    country_subdivision_of_formation: str | UnsetType = UNSET
    tax_ids: tuple[Plain, ...] | UnsetType = UNSET
    email: Plain | UnsetType = UNSET
    phone: Plain | UnsetType = UNSET
    address: Plain | UnsetType = UNSET
    initial_shares_authorized: Authorised | UnsetType = UNSET


class Stakeholder(Item, frozen=True, kw_only=True, tag="STAKEHOLDER"):
    """Someone who may hold securities."""

    name: Name
    stakeholder_type: Literal["INDIVIDUAL", "INSTITUTION"]
    issuer_assigned_id: str | UnsetType = UNSET
    current_relationship: RelationshipType | UnsetType = UNSET
    primary_contact: Plain | UnsetType = UNSET
    contact_info: Plain | UnsetType = UNSET
    addresses: tuple[Plain, ...] | UnsetType = UNSET
    tax_ids: tuple[Plain, ...] | UnsetType = UNSET


class StockClass(Item, frozen=True, kw_only=True, tag="STOCK_CLASS"):
    """A class of stock."""

    name: str
    class_type: Literal["COMMON", "PREFERRED"]
    default_id_prefix: str
    initial_shares_authorized: Authorised
    votes_per_share: Numeric
    seniority: Numeric
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET
    par_value: Monetary | UnsetType = UNSET
    price_per_share: Monetary | UnsetType = UNSET
    conversion_rights: tuple[ConversionRight, ...] | UnsetType = UNSET
    liquidation_preference_multiple: Numeric | UnsetType = UNSET
    participation_cap_multiple: Numeric | UnsetType = UNSET


class StockLegendTemplate(Item, frozen=True, kw_only=True, tag="STOCK_LEGEND_TEMPLATE"):
    """A legend for certificates."""

    name: str
    text: str


class StockPlan(Item, frozen=True, kw_only=True, tag="STOCK_PLAN"):
    """A pool for employees."""

    plan_name: str
    initial_shares_reserved: Numeric
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET
    default_cancellation_behavior: (
        Literal["RETIRE", "RETURN_TO_POOL", "HOLD_AS_CAPITAL_STOCK", "DEFINED_PER_PLAN_SECURITY"] | UnsetType
    ) = UNSET
    stock_class_id: str | UnsetType = UNSET
    stock_class_ids: tuple[str, ...] | UnsetType = UNSET


class VestingTerms(Item, frozen=True, kw_only=True, tag="VESTING_TERMS"):
    """A schedule by which securities vest."""

    name: str
    description: str
    allocation_type: str
    vesting_conditions: tuple[Plain, ...]


class Valuation(Item, frozen=True, kw_only=True, tag="VALUATION"):
    """A valuation of one share."""

    price_per_share: Monetary
    effective_date: date
    stock_class_id: str
    valuation_type: Literal["409A"]
    provider: str | UnsetType = UNSET
    board_approval_date: date | UnsetType = UNSET
    stockholder_approval_date: date | UnsetType = UNSET


class Financing(Item, frozen=True, kw_only=True, tag="FINANCING"):
    """Issuances that belong together."""

    name: str
    issuance_ids: tuple[str, ...]
    date: date


class Document(Item, frozen=True, kw_only=True, tag="DOCUMENT"):
    """A document: a file of the package, or an address."""

    md5: Md5
    path: str | UnsetType = UNSET
    uri: str | UnsetType = UNSET
    related_objects: tuple[ObjectReference, ...] | UnsetType = UNSET


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The manifest: format version, issuer, date and files of the package."""

    ocf_version: Literal["1.2.0"]
    file_type: Literal["OCF_MANIFEST_FILE"]
    issuer: Issuer
    as_of: date
    generated_at: str
    stock_plans_files: tuple[File, ...]
    stock_legend_templates_files: tuple[File, ...]
    stock_classes_files: tuple[File, ...]
    vesting_terms_files: tuple[File, ...]
    valuations_files: tuple[File, ...]
    transactions_files: tuple[File, ...]
    stakeholders_files: tuple[File, ...]
    financings_files: tuple[File, ...] | UnsetType = UNSET
    documents_files: tuple[File, ...] | UnsetType = UNSET
    comments: tuple[str, ...] | UnsetType = UNSET


OBJECTS = (Stakeholder, StockClass, StockLegendTemplate, StockPlan, VestingTerms, Valuation, Financing, Document)
