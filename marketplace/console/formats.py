"""How the console writes values: money, instants, durations, shares, ids and states. None reads as a dash."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.core.money import PRICE_STEP
from marketplace.plots.calendar import render_calendar, render_nodes
from marketplace.plots.prices import render_prices
from marketplace.plots.sparkline import render_sparkline

NONE: Final = "\u2013"
_CAPITALS: Final = frozenset({"amd", "aws", "nvidia", "safe"})
MINUS: Final = "\u2212"


def render_usd(amount: Any) -> str:
    """Return an amount with thousands and cents, ``$1,234.50``, or a dash for None; a sign stands before the dollar."""
    if amount is None:
        return NONE
    value = Decimal(str(amount))
    return f"{MINUS if value < 0 else ''}${abs(value):,.2f}"


def render_rate(price: Any) -> str:
    """Return a price per GPU-hour, with two to six places; exact fractions are rounded for reading."""
    if price is None:
        return NONE
    fraction = Fraction(str(price))
    value = Decimal(fraction.numerator) / Decimal(fraction.denominator)
    text = f"{value.quantize(PRICE_STEP):f}".rstrip("0")
    whole, _, places = text.partition(".")
    return f"${int(whole):,}.{places.ljust(2, '0')}"


def render_number(value: Any) -> str:
    """Return a number with separators of thousands and all of its places: ``1,234.5``."""
    if value is None:
        return NONE
    number = Decimal(str(value))
    return f"{number:,f}".rstrip("0").rstrip(".") if number % 1 else f"{int(number):,}"


def render_gpu_hours(seconds: Any) -> str:
    """Return GPU-seconds as GPU-hours, to a tenth: ``1,234.5``."""
    return NONE if seconds is None else render_number((Decimal(str(seconds)) / 3_600).quantize(Decimal("0.1")))


def render_share(value: Any) -> str:
    """Return a share from 0 to 1, decimal or an exact fraction such as ``1/3``, in per cent: ``33.33%``."""
    return NONE if value is None else f"{float(Fraction(str(value))):.2%}"


def render_multiple(value: Any) -> str:
    """Return a multiple, such as ``1.25x`` with the sign of multiplication."""
    return NONE if value is None else f"{float(value):.2f}\u00d7"


def render_percent(part: Any) -> str:
    """Return a part of a whole in per cent without its sign, for an attribute of a drawing."""
    return f"{float(Fraction(str(part))) * 100:.2f}"


def render_instant(at: datetime | str | None) -> str:
    """Return an instant in UTC: ``2026-11-28 14:05 Z``."""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return NONE if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} Z"


def render_day(at: datetime | None) -> str:
    """Return the day of an instant in UTC: ``2026-11-28``."""
    return NONE if at is None else f"{at.astimezone(UTC):%Y-%m-%d}"


def render_local(at: datetime) -> str:
    """Return an instant as a field of a form takes it, in UTC: ``2026-11-28T14:05``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M}"


def render_stamp(text: str) -> str:
    """Return an event's instant, which is text in UTC, to the second: ``2026-11-28 14:05:09 Z``."""
    return f"{text[:10]} {text[11:19]} Z"


def shorten_type(name: str) -> str:
    """Return an event's tag: ``marketplace.grant.issued.v1`` is ``grant.issued.v1``."""
    return name.removeprefix("marketplace.")


def render_duration(span: timedelta | float | None) -> str:
    """Return a span, or a number of seconds, by its largest unit and the next one: ``3 d 4 h``."""
    if span is None:
        return NONE
    seconds = int(span.total_seconds() if isinstance(span, timedelta) else span)
    sign, seconds = (MINUS if seconds < 0 else ""), abs(seconds)
    parts = [
        (seconds // 86_400, "d"),
        (seconds % 86_400 // 3_600, "h"),
        (seconds % 3_600 // 60, "min"),
        (seconds % 60, "s"),
    ]
    while len(parts) > 1 and not parts[0][0]:
        parts = parts[1:]
    return sign + " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or unit == parts[0][1])


def shorten_id(text: str | None) -> str:
    """Return an id by its kind and its last six characters: ``ord_…9s4k7x``."""
    if not text:
        return NONE
    kind, _, rest = text.partition("_")
    return f"{kind}_…{rest[-6:]}"


def render_word(word: str | None) -> str:
    """Return a state, code or vendor as people write it: ``no_cancel`` is ``no cancel``, and ``safe`` is ``SAFE``."""
    return NONE if not word else word.upper() if word in _CAPITALS else word.replace("_", " ")


def render_sentence(text: str) -> str:
    """Return words with a capital first letter, unless the first word is an id or the name of a member."""
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "usd": render_usd,
    "rate": render_rate,
    "number": render_number,
    "gpu_hours": render_gpu_hours,
    "share": render_share,
    "instant": render_instant,
    "day": render_day,
    "local": render_local,
    "stamp": render_stamp,
    "tag": shorten_type,
    "duration": render_duration,
    "short": shorten_id,
    "multiple": render_multiple,
    "percent": render_percent,
    "word": render_word,
    "sentence": render_sentence,
    "nodes": render_nodes,
    "calendar": render_calendar,
    "prices": render_prices,
    "sparkline": render_sparkline,
}
