"""Who may act for whom: a tenant on its own side; the platform in place of a party only with the scope for it."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.application.steps.access import require_platform, require_side
from marketplace.core.errors import Refusal
from marketplace.execution.unit_of_work import Context
from tests.domain.build import NOW, id_of

STARTUP, PROVIDER, STRANGER = (id_of("pty", number) for number in range(3))
SIDES = {"startup": STARTUP, "provider": PROVIDER}


def ask(act):
    """Return the code of the refusal, or None."""
    try:
        act()
    except Refusal as refusal:
        return refusal.code
    return None


@given(st.sampled_from([None, STARTUP, PROVIDER, STRANGER]), st.booleans(), st.sampled_from(list(SIDES)))
def test_the_platform_decides_in_place_of_a_party_only_by_the_scope_for_it(party_id, decides, side):
    context = Context(
        command_id="c", fingerprint="f", actor=party_id or "platform", party_id=party_id, at=NOW, decides=decides
    )
    expected = {None: None if decides else "scope_missing", SIDES[side]: None, STRANGER: "grant_unknown"}
    code = ask(lambda: require_side(context, SIDES, (side,), "grant", id_of("grt")))
    assert code == expected.get(party_id, "wrong_side")
    assert ask(lambda: require_platform(context)) == (None if party_id is None else "platform_only")
