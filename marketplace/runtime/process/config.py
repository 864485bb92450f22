"""Settings of a process, from the environment. Secrets may come from files, as container platforms mount them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from marketplace.core.errors import Refusal

PREFIX: Final = "MARKETPLACE_"
LOOPBACK: Final = "127.0.0.1"
SECONDS_MAX: Final = 86_400
"""The largest setting in seconds: a day."""
CLEARING_SECONDS_MAX: Final = 1_800
"""The largest book that one auction takes costs some 450 s of processor time (`docs/clearing.md`)."""
REPLICAS: Final = (1, 3, 5)
"""How many NATS servers may store each event: odd numbers, so that a majority decides."""
Seconds = Annotated[int, Meta(ge=1, le=SECONDS_MAX)]
Connections = Annotated[int, Meta(ge=1, le=100_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a process.

    Attributes:
        nats_url: Servers and the application's user, separated by commas.
        nats_replicas: How many servers must store each event.
        nats_admin_url: A user that may create the stream; None for the application's own.
        nats_inbox_prefix: Where the application's NATS user receives answers; None for ``_INBOX_`` and its name in
            capitals.
        nats_system_url: A user of the system account, to check that servers sync each write; None to skip the check.
        database_url: ``postgresql://…``; None for commands only.
        api_key_secret: The server's secret for the HMAC of API keys.
        admin_key: The platform's first API key.
        source: URI reference that events carry as `ce-source`.
        embedded: Whether the test clock may be moved.
        calendar: Whether workers open auctions by the calendar.
        clearing_seconds_max: The longest run of the clearing engine in seconds; then it is ended and has failed.
        connections_max: The most HTTP connections of an API process.
        connections_per_address_max: The most HTTP connections of one address. Behind a proxy, which is one address, set
            this to `connections_max`.
        streams_max: The most event streams of an API process.
        streams_per_key_max: The most event streams of one API key.
        streams_per_party_max: The most event streams of one party's keys together.
        tls_only: Whether browsers reach the console over TLS alone, through a proxy: cookies are `Secure`.
        public_market: Whether everybody may read market data without a key, at `/console/market`.
        keys_offline_seconds_max: How many seconds known API keys stay valid while PostgreSQL is unavailable.
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
    clearing_seconds_max: Seconds = CLEARING_SECONDS_MAX
    connections_max: Connections = 4_096
    connections_per_address_max: Connections = 512
    streams_max: Connections = 1_000
    streams_per_key_max: Connections = 64
    streams_per_party_max: Connections = 256
    tls_only: bool = False
    public_market: bool = False
    keys_offline_seconds_max: Seconds = 900


def load_settings(environment: Mapping[str, str] | None = None, **given: str | None) -> Settings:
    """Return the settings, each from `given`, else from the environment, else its default. Empty counts as not set.

    Args:
        environment: Variables ``MARKETPLACE_…``, or ``MARKETPLACE_…_FILE`` with the path of a file that holds the
            value and comes first; None for this process's own.
        given: Values by the name of the setting, such as those of command-line options.

    Raises:
        Refusal: ``setting_missing`` or ``setting_invalid``; the text names the variable.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        variable = PREFIX + field.name.upper()
        text = given.get(field.name) or find_setting(environment, variable)
        if text:
            values[field.name] = _parse(variable, text, field.type)
    if "nats_url" not in values:
        raise Refusal(
            "setting_missing", f"set {PREFIX}NATS_URL, for example nats://{LOOPBACK}:4222, or use `marketplace up`"
        )
    replicas = values.get("nats_replicas", 1)
    if replicas not in REPLICAS:
        raise Refusal("setting_invalid", f"{PREFIX}NATS_REPLICAS is {replicas}; choose 1, 3 or 5")
    return Settings(**values)


def _parse(variable: str, text: str, kind: Any) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refusal("setting_invalid", f"{variable} is {text!r}: {error}") from error


def find_setting(environment: Mapping[str, str], variable: str) -> str | None:
    """Return the content of the file that ``…_FILE`` names, else the value of the variable; None if neither is set.

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
    """Return the environment variables that give a child process these settings, with the secrets in clear text."""
    stated = {name: value for name, value in msgspec.structs.asdict(settings).items() if value not in {None, ""}}
    return {
        PREFIX + name.upper(): str(int(value) if isinstance(value, bool) else value) for name, value in stated.items()
    }


def require_database_url(settings: Settings) -> str:
    """Return the URL of the projections' database, for a command that reads or writes it.

    Raises:
        Refusal: ``setting_missing``.
    """
    if settings.database_url is None:
        raise Refusal("setting_missing", f"set {PREFIX}DATABASE_URL, or give --database-url postgresql://…")
    return settings.database_url
