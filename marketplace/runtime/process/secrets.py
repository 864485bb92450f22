"""The secrets of API keys: the server's own secret, and the platform's first key."""

import re
import secrets
from typing import Final
from uuid import UUID

import uuid_utils

from marketplace.core.errors import Refusal
from marketplace.core.ids import render_id
from marketplace.runtime.process.config import PREFIX, Settings

SECRET_BYTES: Final = 32
"""Random bytes of a new secret, and the fewest characters of one from the settings."""
_ADMIN_KEY: Final = re.compile(r"mkp_[0-7][0-9a-hjkmnp-tv-z]{25}_[A-Za-z0-9]{20,100}")


def require_api_secrets(settings: Settings) -> None:
    """Refuse to start an API whose secret for keys or first key is missing, too short or malformed.

    Raises:
        Refusal: ``setting_missing`` or ``setting_invalid``; the text names the variable.
    """
    if not settings.api_key_secret:
        raise Refusal("setting_missing", f"set {PREFIX}API_KEY_SECRET to {SECRET_BYTES} or more random characters")
    if len(settings.api_key_secret) < SECRET_BYTES:
        raise Refusal(
            "setting_invalid",
            f"{PREFIX}API_KEY_SECRET has {len(settings.api_key_secret)} characters; give it {SECRET_BYTES} or more",
        )
    if not _ADMIN_KEY.fullmatch(settings.admin_key):
        raise Refusal(
            "setting_missing" if not settings.admin_key else "setting_invalid",
            f"{PREFIX}ADMIN_KEY must be mkp_<26 characters>_<20 or more letters and digits>; print a new one with"
            " `marketplace serve new-admin-key`",
        )


def new_secret() -> str:
    """Return a new random secret for the HMAC of API keys, in hexadecimal digits."""
    return secrets.token_hex(SECRET_BYTES)


def new_admin_key() -> str:
    """Return a new random API key of the platform: ``mkp_<26 characters>_<secret>``. It is not stored anywhere."""
    suffix = render_id("key", UUID(int=uuid_utils.uuid7().int))[4:]
    return f"mkp_{suffix}_{secrets.token_hex(SECRET_BYTES)}"
