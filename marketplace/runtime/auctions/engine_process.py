"""The process that runs the engine once. It reads a task from standard input and writes the answer to standard output.

It ends with the worker that started it, even if that worker is killed. It also asks to be ended first when memory runs
out, so that neither the worker nor a server on the machine is. See `engines.py`.
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
from marketplace.runtime.auctions.forking import choose_workers, end_with

OUT_OF_MEMORY_SCORE: Final = 1_000
"""Linux's score for the first process to end. Any process may raise its own score."""


def main() -> int:
    """Answer one task from standard input. The argument is the process id of the worker that waits for the answer.

    Returns:
        The exit code: 0, or 1 if the worker is no longer there.
    """
    worker_id = int(sys.argv[1])
    threading.Thread(target=end_with, args=(worker_id,), daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE), encoding="ascii")
    answering = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=ToClear | ToPrice)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # The worker was killed while it sent the task. Nobody waits for an answer.
        return 1
    encoded = msgspec.msgpack.encode(answer(task))
    try:
        with os.fdopen(answering, "wb") as output:
            output.write(encoded)
    except BrokenPipeError:
        # The worker was killed while the engine worked. Nobody waits for this answer.
        return 1
    return 0


def answer(task: ToClear | ToPrice) -> Answer:
    """Return the engine's answer to a task; `Failed` states why there is none."""
    try:
        if isinstance(task, ToPrice):
            return Priced(price_book(task.book, task.seed))
        return Cleared(clear_book(task.opened, task.book, choose_workers()))
    except Exception as error:  # noqa: BLE001 - the top of this process
        # Whatever the engine raises, even a bug of ours, the worker gets the reason and its log gets the traceback.
        traceback.print_exc()
        return Failed(tell_failure(error))


if __name__ == "__main__":
    sys.exit(main())
