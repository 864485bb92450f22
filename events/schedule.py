"""The schedule: the market's least order value, its quotas, and what holds and early ends cost."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import Event, Id, Multiple, Share, Usd

Hours = Annotated[int, Meta(ge=0, le=87_600)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class NearHold(msgspec.Struct, frozen=True, kw_only=True):
    """What a hold of near capacity costs.

    Attributes:
        hours_max: The capacity begins within so many hours of the hold.
        multiple: The fee is so many times the plain one.
    """

    hours_max: Hours
    multiple: Multiple


class NoticeFee(msgspec.Struct, frozen=True, kw_only=True):
    """What an early end costs at a notice.

    Attributes:
        notice_hours_min: Hours of notice, or more.
        share: Share of the price of what is not delivered.
    """

    notice_hours_min: Hours
    share: Share


class RemedyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider owes from its bond for what it does not deliver.

    Attributes:
        cure_hours: How long its nodes may fail before anything is owed besides service credits.
        damages_share: Share of the price of hours that failed after that.
        make_whole_share: Share of the price of what an early end leaves undelivered.
    """

    cure_hours: Hours
    damages_share: Share
    make_whole_share: Share


class EndTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a side that ends a grant early without cause owes the other one, and a provider that does not deliver.

    Attributes:
        value_usd_min: For grants of so much money, or more.
        notice_hours_min: The notice that it has to give, if the grant's service terms ask for less.
        fees: Fees, the shortest notice first.
        remedies: What the provider owes for hours that it does not deliver; None: nothing.
    """

    value_usd_min: Usd
    notice_hours_min: Hours
    fees: Annotated[tuple[NoticeFee, ...], Meta(max_length=20)] = ()
    remedies: RemedyTerms | None = None


class NoticeStep(msgspec.Struct, frozen=True, kw_only=True):
    """What ending a part of a deal of a size early takes.

    Attributes:
        value_usd_min: For deals of so much money, or more.
        notice_hours_min: The notice.
        fees: Fees, the shortest notice first.
    """

    value_usd_min: Usd
    notice_hours_min: Hours
    fees: Annotated[tuple[NoticeFee, ...], Meta(max_length=20)] = ()


class PlatformFee(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform takes of every settlement. Both parts are paid beside the price, to the cent.

    Attributes:
        account_id: The platform's account, which receives the fee.
        provider_share: The provider's part: a share of the money that it receives for delivery.
        startup_share: The startup's part: a share of the cash that it pays, set aside with it.
    """

    account_id: Id
    provider_share: Share
    startup_share: Share


class ScheduleTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a schedule.

    Attributes:
        order_usd_min: The least that an order sets aside, in cash and in one mandate's budget together.
        orders_max: The most orders and grants that hold money or credit on the account of one startup at once. For a
            new order, those of firmly related parties count too.
        quotes_max: The most quotes that one startup holds at once.
        hold_share_per_hour: What an hour of a held quote costs if the quote is not taken, as a share of its price.
        near: Higher fees for near capacity, the nearest first.
        ends: What early ends cost, the smallest grants first.
        deposit_alone_usd: What one person of the platform alone records as deposits in 7 days, to all accounts
            together. More takes two; None: any amount.
        platform_fee: What the platform takes of settlements of orders placed from now on; None: nothing.
    """

    order_usd_min: Usd
    orders_max: Count
    quotes_max: Count
    hold_share_per_hour: Share
    near: Annotated[tuple[NearHold, ...], Meta(max_length=20)] = ()
    ends: Annotated[tuple[EndTerms, ...], Meta(max_length=20)] = ()
    deposit_alone_usd: Usd | None = None
    platform_fee: PlatformFee | None = None


class SchedulePublished(Event, frozen=True, kw_only=True, tag="schedule.published.v1"):
    """The platform published a schedule. It applies to orders, quotes and grants from now on.

    Attributes:
        schedule_id: The one schedule of the market.
        terms: The rules.
    """

    schedule_id: Id
    terms: ScheduleTerms


class ScheduleDepositCounted(Event, frozen=True, kw_only=True, tag="schedule.deposit_counted.v1"):
    """One person of the platform alone recorded a deposit. It counts toward `deposit_alone_usd` of that person.

    Attributes:
        schedule_id: The one schedule of the market.
        person: Who recorded it; empty for all keys that name nobody.
        account_id: The account.
        amount_usd: The amount.
        at: When it was recorded.
        cause: The command that recorded it, which counts once.
    """

    schedule_id: Id
    person: str
    account_id: Id
    amount_usd: Usd
    at: datetime
    cause: Id


ScheduleEvent = SchedulePublished | ScheduleDepositCounted
