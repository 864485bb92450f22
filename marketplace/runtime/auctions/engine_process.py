"""The process that runs the engine once: a task from standard input, its answer to standard output (`engines.py`).

It ends with the worker that began it, also where that is killed, and offers itself as the first to go where memory runs
out, so that neither the worker nor a server beside it does.
"""

import contextlib
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Final

import msgspec

from marketplace.runtime.auctions.clearing import clear_book, price_book
from marketplace.runtime.auctions.engines import Answer, Cleared, Failed, Priced, ToClear, ToPrice, tell_failure
from marketplace.runtime.auctions.forking import choose_hands, end_with

OUT_OF_MEMORY_SCORE: Final = 1_000
"""What Linux takes for the first process to end; any process may put itself there."""


def main() -> int:
    """Answer one task."""
    worker_id = int(sys.argv[1])
    threading.Thread(target=end_with, args=(worker_id,), daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE), encoding="ascii")
    answering = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ToClear | ToPrice)
    with os.fdopen(answering, "wb") as output:
        output.write(msgspec.msgpack.encode(answer(task)))
    return 0


def answer(task: ToClear | ToPrice) -> Answer:
    """Return what the engine makes of a task, or why it makes nothing of it."""
    try:
        if isinstance(task, ToPrice):
            return Priced(price_book(task.book, task.seed))
        return Cleared(clear_book(task.opened, task.book, choose_hands()))
    except Exception as error:  # noqa: BLE001 - the top of this process
        # Whatever went wrong inside the engine, even our own mistake: the worker is told, and its log gets the lines.
        traceback.print_exc()
        return Failed(tell_failure(error))


if __name__ == "__main__":
    sys.exit(main())
