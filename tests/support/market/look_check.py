"""Every command that a test of the runtime stores is held to `looks.LOOKS`: what it only looked at is listed there."""

import weakref
from collections.abc import Iterator

import pytest

from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import UnitOfWork
from tests.support.market.looks import EVERYWHERE, LOOKS

RECORD = "command"
"""What a command that changes nothing writes, once that was confirmed at the log's end."""


def name_work(work) -> str:
    """Return a command's name, empty for one that a test made up."""
    if not work.__module__.startswith("marketplace.application."):
        return ""
    return f"{work.__module__.rpartition('.')[2]}:{work.__qualname__.split('.')[0]}"


@pytest.fixture(autouse=True)
def unlisted_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Yield what commands looked at that is not listed; the test fails on any."""
    names = weakref.WeakKeyDictionary[UnitOfWork, str]()
    unlisted: set[str] = set()
    decide, seal = Handler._decide, UnitOfWork.seal

    async def name_and_decide(self, unit, primary, work):
        names[unit] = name_work(work)
        return await decide(self, unit, primary, work)

    def check_and_seal(self, source, last):
        name = names.get(self, "")
        written = {part.decider.aggregate for part in self._parts.values() if part.events}
        looked = {part.decider.aggregate for part in self._parts.values() if not part.events}
        if name and written != {RECORD}:
            unlisted.update(
                f"{name} {aggregate}" for aggregate in looked - EVERYWHERE.keys() - LOOKS.get(name, {}).keys()
            )
        return seal(self, source, last)

    monkeypatch.setattr(Handler, "_decide", name_and_decide)
    monkeypatch.setattr(UnitOfWork, "seal", check_and_seal)
    yield unlisted
    assert not unlisted, (
        f"list {sorted(unlisted)} in tests/support/market/looks.py with the reason why no guard is needed, or guard it"
    )
