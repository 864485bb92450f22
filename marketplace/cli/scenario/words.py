"""Shared by all files of the scenario: keys, days and strict shapes.

Things are named by keys such as ``north-1``; the market gives them ids when the scenario is played. Days count from the
first day of the horizon, and spans are half-open. Money, prices and shares of one are decimal strings in the files.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import Country, Name

Key = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]*(?!\n)$", max_length=60, description="Name in the scenario")]
DayIndex = Annotated[int, Meta(ge=0, le=366 * 5, description="Days after the first day of the horizon")]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object in a scenario file; an unknown member is an error."""


class Organisation(Shape, frozen=True, kw_only=True):
    """An organisation of the scenario: a provider, a fund or a startup.

    Attributes:
        key: Its key.
        name: Its invented name.
        jurisdiction: Country of incorporation.
    """

    key: Key
    name: Name
    jurisdiction: Country
