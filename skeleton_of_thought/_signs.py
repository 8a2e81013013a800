"""Whole signs: halves, as UTF-16 makes of some, are joined, and one that is alone is shown as missing."""


class WholeSigns:
    """Pass on a text whose pieces may end within a sign.

    >>> signs = WholeSigns()
    >>> signs.feed("figs \\ud83c") + signs.feed("\\udf47.") + signs.flush()
    'figs 🍇.'
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """Take the next piece and return what can be passed on."""
        if not self._half and text.isascii():  # nearly always
            return text
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _joined(text.removesuffix(self._half))

    def flush(self) -> str:
        """End the text and return what was held back."""
        half, self._half = self._half, ""
        return _joined(half)


def _joined(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
