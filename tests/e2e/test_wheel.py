"""The wheel holds the whole product: installed without the checkout, it runs `marketplace demo`."""

import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import httpx
import pytest

from marketplace.embedded.folder import temporary_folder
from tests.e2e.test_commands import Up
from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that has the wheel and its locked dependencies, and nothing else."""
    uv = shutil.which("uv")
    assert uv, "run the tests with `uv run`"
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [uv, *arguments, "--offline"],
            cwd=ROOT,
            env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    run("build", "--wheel", "--out-dir", str(folder))
    run("sync", "--frozen", "--no-dev", "--extra", "embedded", "--no-install-project")
    (wheel,) = folder.glob("*.whl")
    python = str(environment / "bin" / "python")
    run("pip", "install", "--no-deps", "--python", python, str(wheel))
    run("pip", "check", "--python", python)
    return environment


def get_environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.defpath}


def call(environment: Path, home: Path, *arguments: str) -> str:
    """Run a program of the environment where nothing of the checkout is in reach, and return what it prints."""
    program, *rest = arguments
    done = subprocess.run(
        [str(environment / "bin" / program), *rest],
        cwd=home,
        env=get_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.xdist_group("stack")
def test_the_version_is_that_of_the_project(installed: Path, tmp_path: Path):
    assert call(installed, tmp_path, "marketplace", "--version").strip() == VERSION
    found = call(installed, tmp_path, "python", "-c", "import marketplace; print(marketplace.__file__)")
    assert Path(found.strip()).is_relative_to(installed)


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("stack")
def test_the_demonstration_holds_from_the_wheel_alone_and_goes_on_with_up(installed: Path, tmp_path: Path):
    with temporary_folder("marketplace-kept-") as folder:
        check_demonstration(show_demonstration(installed, tmp_path, folder / "data"))
        program = (str(installed / "bin" / "marketplace"),)
        environment = get_environment(tmp_path)
        up = Up(folder / "data", tmp_path / "up.log", program=program, cwd=tmp_path, env=environment)
        try:
            balances = up.get("/v1/trial-balance", 1).json()
            assert {row["unit"] for row in balances} >= {"USD", "GPU-second:H100_SXM"}
            servers = up.read_until(r"NATS\s+(nats://\S+)")
            assert "nothing found" in call(installed, tmp_path, "marketplace", "log", "audit", "--nats-url", servers)
        finally:
            assert up.stop() == 0


def show_demonstration(installed: Path, home: Path, data: Path) -> str:
    """Play the demonstration and keep it: each of its links signs in once, to a market that has been played."""
    log = home / "demo.log"
    program = [str(installed / "bin" / "marketplace"), "demo", "--keep", "--data", str(data)]
    with log.open("w") as sink:
        demo = subprocess.Popen(program, cwd=home, env=get_environment(home), stdout=sink, stderr=sink)
    try:
        while "Ctrl-C stops it" not in log.read_text():
            assert demo.poll() is None, log.read_text()
            time.sleep(0.5)
        links = dict(re.findall(r"^  (\w+) +(http://\S+)$", log.read_text(), re.MULTILINE))
        shown = {"operator": "Today", "startup": "matched", "holder": "Portfolio"}
        assert links.keys() == shown.keys()
        for desk, word in shown.items():
            assert word in enter(links[desk]), desk
    finally:
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_SECONDS) == 0
    return log.read_text()


def enter(link: str) -> str:
    """Sign in as a browser does with a one-time link, which does it once, and return the first page."""
    address, _, token = link.partition("#")
    pages = []
    for _ in range(2):
        with httpx.Client(follow_redirects=True, timeout=PATIENCE_SECONDS) as browser:
            csrf = re.search(r'name="_csrf_token" value="([^"]+)"', browser.get(address).text)
            assert csrf is not None
            pages.append(browser.post(address, data={"token": token, "_csrf_token": csrf[1]}).text)
    assert "this link was used" in pages[1]
    return pages[0]


def check_demonstration(text: str) -> None:
    assert "everything held" in text
    assert "the hash chain holds" in text
    for title in ("Inventory", "Winners", "Why they lost", "cap table around", "Trial balance", "Rebuilt from the log"):
        assert title in text, title
    assert "no:" not in text.split("Rebuilt from the log")[1]
