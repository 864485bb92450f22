"""The two consoles that all commands write to, and how errors are told; importing it costs little, for `clear` does."""

import sys
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from marketplace.core.errors import MarketplaceError, Refusal

WIDTH_WITHOUT_TERMINAL: Final = 120
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class PlainConsole(Console):
    """A console that takes text for text: a name is no markup, no emoji, and no command to a terminal."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a string as it is to be shown, its control characters spelled out."""
        return super().render_str(text.translate(_CONTROLS), **settings)


CONSOLE: Final = PlainConsole(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
ERRORS: Final = PlainConsole(stderr=True)


def mark(style: str, word: str) -> Text:
    """Return a word of ours in a style of rich, to be printed beside plain text."""
    return Text(word, style)


OUT_OF_MEMORY: Final = MarketplaceError("this machine has too little memory for it; nothing was written")


def tell(error: MarketplaceError) -> None:
    """Tell an error in one line, however long."""
    if isinstance(error, Refusal):
        ERRORS.print(mark("bold red", "refused"), f"{error.code}: {error.message}", soft_wrap=True)
    else:
        ERRORS.print(mark("bold red", "error"), str(error), soft_wrap=True)
