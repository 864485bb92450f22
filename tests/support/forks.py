"""Plays mutants in forks of one process, which imported everything before, so that nothing of a mutant is left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def answer_each(play: Callable[[str], Any]) -> None:
    """Play every line of standard input in a fork, and answer it with one line of JSON, `null` where the fork fails.

    Whatever a play prints goes to standard error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.write(json.dumps(play(line.strip())) + "\n")
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            answers.write("null\n")


@contextmanager
def asking(module: str) -> Iterator[Callable[[object], Any]]:
    """Start a module that answers each line, and yield how it is asked."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        sent, answered = process.stdin, process.stdout
        assert sent
        assert answered

        def ask(name: object) -> Any:
            sent.write(f"{name}\n")
            sent.flush()
            return json.loads(answered.readline())

        yield ask
        sent.close()
