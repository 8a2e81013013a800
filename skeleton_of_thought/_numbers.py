"""Which numbers can work. ``True`` is none, though Python counts with it."""

from math import isfinite

from .errors import ConfigurationError


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number from *least* up.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name}={value!r} cannot work: use a whole number from {least} up")


def check_seconds(name: str, value: object, *, least: float | None = None) -> None:
    """Refuse what are no seconds, from *least* up or, without it, more than 0.

    Raises:
        ConfigurationError: they are none.
    """
    if not (_is_number(value, least or 0.0, float("inf")) and (value or least is not None)):
        bound = "more than 0" if least is None else f"from {least} up"
        raise ConfigurationError(f"{name}={value!r} cannot work: use seconds, {bound}")


def check_share(name: str, value: object) -> None:
    """Refuse what is no share: more than 0, and up to 1.

    Raises:
        ConfigurationError: it is none.
    """
    if not (_is_number(value, 0.0, 1.0) and value):
        raise ConfigurationError(f"{name}={value!r} cannot work: use a number, more than 0 and up to 1")


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and least <= value <= most
