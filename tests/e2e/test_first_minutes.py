"""README's first ten minutes, typed as they stand: from nothing to a won auction and a cap table."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from marketplace.embedded.folder import temporary_folder
from tests.e2e.test_commands import Up
from tests.support.patience import PATIENCE_SECONDS

README = Path(__file__).parents[2] / "README.md"
CURL = """#!{python}
import sys
import httpx
words, headers, body, url = sys.argv[1:], {{}}, None, None
while words:
    word = words.pop(0)
    if word == "-H":
        name, _, value = words.pop(0).partition(": ")
        headers[name] = value
    elif word == "-d":
        body = words.pop(0)
        body = sys.stdin.read() if body == "@-" else body
    elif word == "-X":
        body = body or b""
        words.pop(0)
    elif word != "-sS":
        url = word
print(httpx.request("GET" if body is None else "POST", url, content=body, headers=headers, timeout=60).text, end="")
"""
"""What the commands use of curl, for a machine that has none."""


def read_commands() -> tuple[str, list[str], list[str]]:
    """Return the options of `up`, the blocks of a shell, and two of the commands that replay the log."""
    text = README.read_text()
    section = text.partition("## The first ten minutes")[2].partition("\n## ")[0]
    replay = re.findall(r"\$ (uv run marketplace (?:log verify|projections rebuild accounts)) ", text)
    (start,) = re.findall(r"```console\n\$ uv run marketplace (.*?)\n```", section)
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return start, blocks, [line.replace("uv run", f"{sys.executable} -m") for line in replay]


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("stack")
def test_the_first_ten_minutes_lead_to_a_cap_table(tmp_path):
    start, blocks, replay = read_commands()
    assert start.split()[0] == "up"
    environment = dict(os.environ)
    if shutil.which("curl") is None:
        curl = tmp_path / "curl"
        curl.write_text(CURL.format(python=sys.executable))
        curl.chmod(stat.S_IRWXU)
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    with temporary_folder("marketplace-minutes-") as folder:
        up = Up(folder / "data", tmp_path / "up.log", *start.split()[1:])
        try:
            up.read_until(r"(the sandbox is ready)")
            for path in (folder / "data" / "sandbox").iterdir():
                assert path.stat().st_mode & 0o077 == 0
            said = type_commands("\n".join([*blocks, "echo", *replay]), folder, environment)
        finally:
            assert up.stop() == 0
        up = Up(folder / "data", tmp_path / "again.log", *start.split()[1:])
        try:
            up.read_until(r"(the sandbox is ready)")
            hour = blocks[0].replace('"duration_hours": 48', '"duration_hours": 1')
            again = type_commands(hour, folder, environment)
        finally:
            assert up.stop() == 0
    assert len(replay) == 2
    answers = [json.loads(line) for line in said if line.startswith(("{", "["))]
    problems = [answer for answer in answers if "code" in answer]
    assert problems == []
    won = [require_won(each) for each in (answers, [json.loads(line) for line in again if line[:1] in "{["])]
    assert won[0] != won[1], "an order after a restart wins too, also one for an hour"
    principal, cap_table = answers[-2:]
    assert principal["items"][0]["principal_usd"] == "849.60"
    assert cap_table["outstanding_shares"] == 8_000_000


def require_won(answers):
    """Return the grant of the order that the first block places."""
    _, placed, order, grants = answers[:4]
    assert (order["order_id"], order["status"], order["grant_id"][:4]) == (placed["id"], "matched", "grt_")
    assert order["grant_id"] in {grant["grant_id"] for grant in grants["items"]}
    return order["grant_id"]


def type_commands(text, folder, environment):
    """Run lines in one shell, and return each answer as a line."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return re.sub(r"(?<=[}\]])(?=[{\[])", "\n", done.stdout).splitlines()
