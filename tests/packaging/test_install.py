"""What a stranger does with the wheel: installs it in an empty environment, and runs the demo."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.stack.home import cache_dir

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command printed; a failure shows all of it. Nothing of this machine is on its path, also no Java."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": str(cwd), "HOME": str(cwd), "TMPDIR": str(cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command[1:4]}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="session")
def locked_wheels() -> Path:
    """The locked packages as files. They are kept in the user's cache, so that later runs need no network."""
    folder = cache_dir() / "wheels" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    complete = folder / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # As `make setup` does it, with whatever the environment tells pip about proxies and certificates.
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        options = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCK), "--dest", str(folder)]
        subprocess.run([*pip, *options], check=True)
        complete.touch()
    return folder


@pytest.fixture(scope="session")
def installed(wheel: Path, locked_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which nothing but the wheel was asked for."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    options = ["--quiet", "--no-compile", "--no-index", "--find-links", str(locked_wheels)]
    run(programs / "python", "-m", "pip", "--disable-pip-version-check", "install", *options, wheel, cwd=folder)
    return programs


def test_what_the_wheel_asks_for_is_all_that_it_needs(installed: Path, tmp_path: Path) -> None:
    run(installed / "python", "-m", "pip", "check", cwd=tmp_path)
    program = (
        "import importlib, pkgutil, orchestrator\n"
        "assert 'site-packages' in orchestrator.__file__\n"
        "for module in pkgutil.walk_packages(orchestrator.__path__, 'orchestrator.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    run(installed / "python", "-c", program, cwd=tmp_path)


def test_the_installed_demo_does_what_the_demo_of_a_checkout_does(installed: Path, tmp_path: Path) -> None:
    # The files of broker and registry are what a user has after the first run.
    printed = run(installed / "orchestrator", "demo", cwd=tmp_path, ORCHESTRATOR_CACHE_DIR=str(cache_dir()))
    for journey in ("cart_abandonment", "welcome_series"):
        assert journey in printed
    last_line = printed.strip().splitlines()[-1]
    assert "events" in last_line
    assert "actions" in last_line
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("orchestrator-demo-")]


def test_an_installed_command_needs_no_checkout(installed: Path, tmp_path: Path) -> None:
    assert "Usage: orchestrator" in run(installed / "orchestrator", "--help", cwd=tmp_path)
    assert "SMTP_HOST" in run(installed / "orchestrator", "connect", "templates", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
