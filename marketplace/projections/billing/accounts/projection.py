"""Folds the log into entries and balances, by the table of rules."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from events.account import (
    AccountClosed,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountLimitSet,
    AccountOpened,
)
from events.types import Event
from marketplace.projections.billing.accounts.meaning import find_cause, find_occurrence
from marketplace.projections.billing.accounts.posting import Subject
from marketplace.projections.billing.accounts.rules import POSTS_NOTHING, RULES, get_subject_ids, post
from marketplace.projections.billing.accounts.tables import accounts, balances, entries, subjects
from marketplace.projections.engine.projection import Handler, Projection, tags_of
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch

_SUBJECT_FIELDS: Final = tuple(Subject.__slots__)
_OF_HOLDS: Final = AccountHoldPlaced, AccountHoldCaptured, AccountHoldReleased, AccountHoldExpired
_get_fields: Final = itemgetter(*_SUBJECT_FIELDS)


class _Subjects:
    """The subjects of a batch, kept in its changes."""

    def __init__(self, changes: WriteBatch) -> None:
        self._changes = changes

    def find(self, subject_id: str) -> Subject | None:
        row = self._changes.find(subjects, subject_id)
        return None if row is None else Subject(*_get_fields(row))

    def put(self, subject: Subject) -> None:
        self._changes.put(subjects, **{name: getattr(subject, name) for name in _SUBJECT_FIELDS})


def _post(changes: WriteBatch, fact: RecordedEvent, event: Event) -> None:
    cause, recorded_at, occurred_at = find_cause(event), fact.time, find_occurrence(event, fact.time)
    hold_id = event.hold_id if isinstance(event, _OF_HOLDS) else None
    for line, posting in enumerate(post(event, _Subjects(changes))):
        account, party_id, unit, amount = posting.account, posting.party_id, posting.unit, posting.amount
        values = (account, party_id, unit, amount, fact.tag, cause, hold_id, recorded_at, occurred_at)
        changes.append(entries, fact.sequence, line, *values)
        changes.add(balances, "amount", account=account, party_id=party_id, unit=unit, amount=amount)


def _open(changes: WriteBatch, fact: RecordedEvent, event: AccountOpened) -> None:
    changes.put(accounts, account_id=event.account_id, party_id=event.party_id, unit=event.unit, opened_at=fact.time)


def _close(changes: WriteBatch, fact: RecordedEvent, event: AccountClosed) -> None:
    changes.update(accounts, event.account_id, closed_at=fact.time)


def _limit(changes: WriteBatch, _: RecordedEvent, event: AccountLimitSet) -> None:
    changes.update(
        accounts,
        event.account_id,
        limit_usd=event.limit_usd,
        order_limit_usd=event.order_limit_usd,
        week_limit_usd=event.week_limit_usd,
    )


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    wanted = {(subject_id,) for fact in batch for subject_id in get_subject_ids(fact.event)}
    await changes.load(connection, subjects, wanted)


_HANDLERS: Final[dict[type[Event], Handler]] = {
    AccountOpened: _open,
    AccountClosed: _close,
    AccountLimitSet: _limit,
    **dict.fromkeys(RULES, _post),
}
PROJECTION: Final = Projection(
    name="accounts",
    version=5,
    tables=(accounts, entries, balances, subjects),
    reads=("account", "grant", "usage", "service_line", "statement", "issuer", "instrument"),
    handlers=_HANDLERS,
    ignores=POSTS_NOTHING - tags_of(AccountOpened, AccountClosed, AccountLimitSet),
    load=_load,
)
