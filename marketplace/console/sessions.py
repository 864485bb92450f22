"""Sessions of the console, and the links that begin them.

A session is a cookie that the server signs: the id of an API key, when it began, and the position of the last command.
It holds no secret. Each request asks the key ring for the key again, so a key that is revoked ends its sessions.
"""

import secrets
import time
from typing import Final

import msgspec
from itsdangerous import BadData, URLSafeTimedSerializer

PURPOSE: Final = "marketplace.console.v1"
"""The purpose of the secret that signs sessions and links; see `KeyRing.derive_secret`."""
PATH: Final = "/console"
COOKIE: Final = "marketplace_session"
IDLE_SECONDS_MAX: Final = 30 * 60
SECONDS_MAX: Final = 12 * 3_600
RENEW_SECONDS: Final = 60
LINK_SECONDS_MAX: Final = 10 * 60
_SESSION: Final = "marketplace.console.session.v1"
_LINK: Final = "marketplace.console.link.v1"


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Who is signed in.

    Attributes:
        key_id: The API key.
        began: When, in seconds since 1970.
        sequence: Position of the session's last command; pages show its effects.
    """

    key_id: str
    began: int
    sequence: int = 0


class Sessions:
    """Signs sessions and one-time links, and reads them.

    Args:
        secret: The server's secret for this purpose.
    """

    def __init__(self, secret: bytes) -> None:
        self._sessions = URLSafeTimedSerializer(secret, salt=_SESSION)
        self._links = URLSafeTimedSerializer(secret, salt=_LINK)

    def begin(self, key_id: str, sequence: int = 0) -> Session:
        """Return a new session of a key. Its pages show at least the events up to `sequence`."""
        return Session(key_id, int(time.time()), sequence)

    def render(self, session: Session) -> str:
        """Return the cookie of a session. It lasts `IDLE_SECONDS_MAX` from now unless it is renewed."""
        return self._sessions.dumps(msgspec.to_builtins(session))

    def read(self, cookie: str | None) -> tuple[Session, bool] | None:
        """Return the session of a cookie, and whether to renew the cookie; None if it is not valid or too old.

        A session is too old after `IDLE_SECONDS_MAX` without renewal, and `SECONDS_MAX` after it began.
        """
        if cookie is None:
            return None
        try:
            found, signed = self._sessions.loads(cookie, max_age=IDLE_SECONDS_MAX, return_timestamp=True)
            session = msgspec.convert(found, Session)
        except (BadData, msgspec.ValidationError):
            return None
        now = time.time()
        if now - session.began > SECONDS_MAX:
            return None
        return session, now - signed.timestamp() > RENEW_SECONDS

    def issue_link(self, key_id: str) -> str:
        """Return the token of a link that signs in once, within `LINK_SECONDS_MAX`."""
        return self._links.dumps([key_id, secrets.token_urlsafe(12)])

    def render_link(self, base_url: str, key_id: str) -> str:
        """Return a link that signs in once. Its token stands after the hash, which browsers send to no server."""
        return f"{base_url}{PATH}/enter#{self.issue_link(key_id)}"

    def read_link(self, token: str) -> tuple[str, str] | None:
        """Return the key of a link's token, and the link's own id; None if the token is not valid or too old.

        The key ring's store records the id, so that the link signs in once, whichever process admits it.
        """
        try:
            return msgspec.convert(self._links.loads(token, max_age=LINK_SECONDS_MAX), tuple[str, str])
        except (BadData, msgspec.ValidationError):
            return None
