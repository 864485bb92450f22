"""The two consoles of all commands, and the output of errors. Its import is fast, because `clear` uses it."""

import sys
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from marketplace.core.errors import MarketplaceError, Refusal

WIDTH_WITHOUT_TERMINAL: Final = 120
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class PlainConsole(Console):
    """A console that prints text literally: a name is never markup, an emoji or a terminal command."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a string for display, with its control characters escaped."""
        return super().render_str(text.translate(_CONTROLS), **settings)


CONSOLE: Final = PlainConsole(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
ERRORS: Final = PlainConsole(stderr=True)


def mark(style: str, word: str) -> Text:
    """Return a word in a rich style; nothing in it is read as markup."""
    return Text(word, style)


OUT_OF_MEMORY: Final = MarketplaceError("this machine has too little memory for this; nothing was written")


def tell(error: MarketplaceError) -> None:
    """Print an error in one line, however long."""
    if isinstance(error, Refusal):
        ERRORS.print(mark("bold red", "refused"), f"{error.code}: {error.message}", soft_wrap=True)
    else:
        ERRORS.print(mark("bold red", "error"), str(error), soft_wrap=True)
