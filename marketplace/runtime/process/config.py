"""Settings of a process, from the environment. Secrets may come from files, as container platforms mount them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from marketplace.core.errors import Refusal

PREFIX: Final = "MARKETPLACE_"
LOOPBACK: Final = "127.0.0.1"
SECONDS_MAX: Final = 86_400
CLEARING_SECONDS_MAX: Final = 1_800
"""The largest book that one auction takes costs some 100 s of processor time (`docs/clearing.md`)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a process.

    Attributes:
        nats_url: Servers and the application's user, separated by commas.
        nats_replicas: How many servers must store each event.
        nats_admin_url: A user that may create the stream; None for the application's own.
        nats_inbox_prefix: Where the application's NATS user receives answers; None for ``_INBOX_`` and its name in
            capitals.
        nats_system_url: A user of the system account, to check that servers sync each write; None to skip the check.
        database_url: ``postgresql+asyncpg://…``; None for commands only.
        api_key_secret: The server's secret for the HMAC of API keys.
        admin_key: The platform's first API key.
        source: URI reference that events carry as `ce-source`.
        embedded: Whether the test clock may be moved.
        calendar: Whether workers open auctions by the calendar.
        clearing_seconds_max: The longest run of the clearing engine before it counts as failed.
        connections_max: The most HTTP connections of an API process.
        connections_per_address_max: The most HTTP connections of one address. Behind a proxy, which is one address, set
            this to `connections_max`.
        streams_max: The most event streams of an API process.
        streams_per_key_max: The most event streams of one API key.
        streams_per_party_max: The most event streams of one party's keys together.
        keys_offline_seconds_max: How long known API keys stay valid while PostgreSQL is unavailable.
    """

    nats_url: str
    nats_replicas: int = 1
    nats_admin_url: str | None = None
    nats_inbox_prefix: str | None = None
    nats_system_url: str | None = None
    database_url: str | None = None
    api_key_secret: str = ""
    admin_key: str = ""
    source: str = "/marketplace"
    embedded: bool = False
    calendar: bool = False
    clearing_seconds_max: int = CLEARING_SECONDS_MAX
    connections_max: int = 4_096
    connections_per_address_max: int = 512
    streams_max: int = 1_000
    streams_per_key_max: int = 64
    streams_per_party_max: int = 256
    keys_offline_seconds_max: int = 900


_TEXTS: Final = (
    "nats_url",
    "nats_admin_url",
    "nats_inbox_prefix",
    "nats_system_url",
    "database_url",
    "api_key_secret",
    "admin_key",
    "source",
)
_FLAGS: Final = ("embedded", "calendar")
_NUMBERS: Final = {
    "clearing_seconds_max": SECONDS_MAX,
    "connections_max": 100_000,
    "connections_per_address_max": 100_000,
    "streams_max": 100_000,
    "streams_per_key_max": 100_000,
    "streams_per_party_max": 100_000,
    "keys_offline_seconds_max": SECONDS_MAX,
}


def load_settings(environment: Mapping[str, str] | None = None, **given: str | None) -> Settings:
    """Return the settings. `given` values take precedence over the environment.

    A variable ``…_FILE`` names a file that holds the value.

    Raises:
        Refusal: ``setting_missing`` or ``setting_invalid``; the text names the variable.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, str] = {}
    for name in _TEXTS:
        value = given.get(name) or find_setting(environment, PREFIX + name.upper())
        if value:
            values[name] = value
    if "nats_url" not in values:
        raise Refusal(
            "setting_missing", f"set {PREFIX}NATS_URL, for example nats://{LOOPBACK}:4222, or use `marketplace up`"
        )
    replicas = environment.get(f"{PREFIX}NATS_REPLICAS", "1")
    if replicas not in {"1", "3", "5"}:
        raise Refusal("setting_invalid", f"{PREFIX}NATS_REPLICAS is {replicas!r}; choose 1, 3 or 5")
    return Settings(
        nats_replicas=int(replicas),
        embedded=_read_flag(environment, f"{PREFIX}EMBEDDED"),
        calendar=_read_flag(environment, f"{PREFIX}CALENDAR"),
        **_read_numbers(environment),  # type: ignore[arg-type]
        **values,  # type: ignore[arg-type]
    )


def _read_flag(environment: Mapping[str, str], variable: str) -> bool:
    value = environment.get(variable) or "0"
    if value not in {"0", "1"}:
        raise Refusal("setting_invalid", f"{variable} is {value!r}; choose 0 or 1")
    return value == "1"


def _read_numbers(environment: Mapping[str, str]) -> dict[str, int]:
    numbers = {}
    for name, number_max in _NUMBERS.items():
        variable = PREFIX + name.upper()
        value = environment.get(variable)
        if not value:
            continue
        if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= number_max:
            raise Refusal("setting_invalid", f"{variable} is {value!r}; choose a whole number from 1 to {number_max}")
        numbers[name] = int(value)
    return numbers


def find_setting(environment: Mapping[str, str], variable: str) -> str | None:
    """Return the value of a variable, or of the file that ``…_FILE`` names; None if neither is set.

    Raises:
        Refusal: ``setting_invalid``: the file cannot be read.
    """
    if path := environment.get(f"{variable}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise Refusal("setting_invalid", f"{variable}_FILE cannot be read: {error}") from error
    return environment.get(variable)


def render_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that give a child process these settings."""
    variables = {f"{PREFIX}{name.upper()}": value for name in _TEXTS if (value := getattr(settings, name))}
    variables[f"{PREFIX}NATS_REPLICAS"] = str(settings.nats_replicas)
    variables |= {PREFIX + name.upper(): str(getattr(settings, name)) for name in _NUMBERS}
    return variables | {f"{PREFIX}{name.upper()}": str(int(getattr(settings, name))) for name in _FLAGS}
