"""The ledger and the accounts are two views of one log; this is the property that they agree."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain.billing.account import ACCOUNT
from marketplace.projections.billing.accounts.posting import sum_by_unit
from marketplace.projections.billing.accounts.rules import post
from tests.domain import build
from tests.domain.test_money_properties import account_commands
from tests.domain.walk import WALK, step


class _NoSubjects:
    def find(self, _):
        return None

    def put(self, _):
        raise AssertionError("events of accounts need no subject")


@WALK
@given(st.lists(account_commands, min_size=5, max_size=40))
def test_the_ledger_says_what_the_accounts_say(walk):
    account, balances = None, {}
    begin = [build.open_account(), build.deposit(amount_usd=build.usd(200), reference="w9"), build.place_hold()]
    for command in [*begin, *walk]:
        account, log, _ = step(ACCOUNT, account, command)
        for event in log:
            postings = post(event, _NoSubjects())
            assert not any(sum_by_unit(postings).values())
            for posting in postings:
                kind = posting.account.rpartition("/")[2]
                balances[kind] = balances.get(kind, Decimal(0)) + posting.amount
        assert balances.get("available", Decimal(0)) == account.available_usd
        assert balances.get("held", Decimal(0)) == account.held_usd
