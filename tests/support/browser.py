"""The browser of the tests in a browser."""

import os
import shutil
from typing import Final

TESTS: Final = "console/test_browser.py"
"""The tests that need it, below `tests`."""


def find_browser() -> str | None:
    """Return Chromium's program: MARKETPLACE_BROWSER, or what is on PATH; None if there is none."""
    return os.environ.get("MARKETPLACE_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")


def leaves_out_browser() -> bool:
    """Return whether the tests that need a browser are left out, since there is none and none is required."""
    return find_browser() is None and not os.environ.get("MARKETPLACE_BROWSER_REQUIRED")
