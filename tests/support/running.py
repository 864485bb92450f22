"""Which of our code runs while a block does."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

from tests.support.source_walk import OURS


@contextmanager
def recording(found: set[CodeType]) -> Iterator[None]:
    """Add the bytecode of every function of ours that the block calls, however deep, but for what decorators wrote."""

    def record(frame, event, _):
        ours = frame.f_globals.get("__name__", "").split(".")[0] in OURS
        if event == "call" and ours and frame.f_code.co_filename != "<string>":
            found.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield
    finally:
        sys.setprofile(before)
