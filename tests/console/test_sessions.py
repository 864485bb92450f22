"""Sessions and one-time links, without a server."""

import time

import pytest

from marketplace.console import sessions
from marketplace.console.sessions import IDLE_SECONDS_MAX, LINK_SECONDS_MAX, SECONDS_MAX, Session, Sessions

SECRET = b"a secret of thirty-two bytes or more"


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose one number is added to the time."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(sessions.time, "time", lambda: real() + ahead[0])
    return ahead


def test_a_session_lasts_while_it_is_used_and_at_most_twelve_hours(clock):
    signing = Sessions(SECRET)
    session = signing.begin("key_1")
    cookie = signing.render(session)
    assert signing.read(cookie) == (session, False)
    clock[0] += IDLE_SECONDS_MAX - 5
    assert signing.read(cookie) == (session, True)
    clock[0] += 10
    assert signing.read(cookie) is None
    while clock[0] < SECONDS_MAX - 60:
        cookie = signing.render(session)
        clock[0] += IDLE_SECONDS_MAX - 60
        read = signing.read(cookie)
    assert signing.read(signing.render(session)) is None
    assert read is None or clock[0] <= SECONDS_MAX


@pytest.mark.parametrize("cookie", [None, "", "x", "x.y.z"])
def test_what_the_server_did_not_sign_is_no_session(cookie):
    assert Sessions(SECRET).read(cookie) is None


def test_another_secret_or_a_link_signs_no_session():
    signing = Sessions(SECRET)
    assert signing.read(Sessions(SECRET[::-1]).render(Session("key_1", 0))) is None
    assert signing.read(signing.issue_link("key_1")) is None


def test_a_link_is_valid_for_ten_minutes(clock):
    signing = Sessions(SECRET)
    first, second = signing.issue_link("key_1"), signing.issue_link("key_1")
    (key_id, link), other = signing.read_link(first), signing.read_link(second)
    assert key_id == "key_1"
    assert other not in (None, (key_id, link))
    clock[0] += LINK_SECONDS_MAX + 2
    assert signing.read_link(second) is None
    assert signing.read_link("x") is None
    assert signing.read_link(signing.render(signing.begin("key_1"))) is None
