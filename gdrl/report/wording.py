"""Numbers and sentences as a person would write them."""

from collections.abc import Sequence

Number = int | float

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def number(value: Number | None, digits: int = 2) -> str:
    """``-0.416`` as ``−0.42``; a dash where there is no value."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    zero = float(text) == 0
    return text.lstrip("-") if zero else text.replace("-", MINUS)


def signed(value: Number | None, digits: int = 2) -> str:
    """Like :func:`number`, with a plus before positive values."""
    text = number(value, digits)
    return f"+{text}" if value is not None and float(f"{value:.{digits}f}") > 0 else text


def compact(value: Number | None) -> str:
    """Three significant digits, for axes and metrics of any size."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if 0.001 <= abs(value) < 1000:
        return f"{value:.3g}".replace("-", MINUS)
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", MINUS)
    return f"{value:.2g}".replace("-", MINUS)


def percent(share: Number | None) -> str:
    """``0.97`` as ``97 %``; only an exact 1 is written ``100 %``, only an exact 0 ``0 %``."""
    if share is None:
        return "–"
    rounded = round(share * 100)
    if (rounded == 100) != (share == 1) or (rounded == 0) != (share == 0):
        return f"{share * 100:.1f}{THIN}%"
    return f"{rounded}{THIN}%"


def count(value: Number | None) -> str:
    """A whole number with thousands separators."""
    return "–" if value is None else f"{value:,.0f}"


def duration(seconds: Number | None) -> str:
    """``95`` as ``1 min 35 s``."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{value}{THIN}{unit}" for value, unit in parts if value)


def words(items: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(value: Number, one: str, many: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def readable(name: str) -> str:
    """An identifier as words: ``images_per_second`` as ``images per second``."""
    return name.replace("_", " ")
