"""Which of our code runs while a block does."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

from tests.support.source_walk import OURS


@contextmanager
def recording(found: set[CodeType]) -> Iterator[None]:
    """Add the bytecode of every function of ours that the block calls, however deep, but for what decorators wrote."""
    seen: dict[int, CodeType] = {}  # comparing bytecode takes longer than most of what it does

    def record(frame, _event, _):
        code = frame.f_code
        if id(code) not in seen:
            seen[id(code)] = code
            ours = frame.f_globals.get("__name__", "").split(".")[0] in OURS
            if ours and code.co_filename != "<string>":
                found.add(code)

    before = sys.gettrace()
    sys.settrace(record)  # it hears of calls alone, since it traces no line in them
    try:
        yield
    finally:
        sys.settrace(before)
