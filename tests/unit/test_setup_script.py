"""scripts/setup: what it does on a fresh machine, and the sentence it says when it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the script and empty locks, so that nothing is downloaded."""
    directory = tmp_path / "checkout"
    (directory / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup", directory / "scripts" / "setup")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        (directory / lock).write_text("# nothing\n")
    return directory


def program(directory: Path, name: str, body: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def run(checkout: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "scripts/setup", *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_installs_once_per_lock_and_place(checkout: Path) -> None:
    first = run(checkout)
    assert first.returncode == 0, first.stderr
    assert [line.split(" ")[1] for line in first.stdout.splitlines()] == ["making", "installing", "done"]
    again = run(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (checkout / "requirements.txt").write_text("# changed\n")
    changed = run(checkout)
    assert [line.split(" ")[1] for line in changed.stdout.splitlines()] == ["installing", "done"]
    moved = checkout.rename(checkout.parent / "moved checkout")
    assert "setup: making .venv" in run(moved, "dev").stdout
    assert run(moved).stdout == ""  # the development packages include the others
    assert str(moved) in (moved / ".venv" / "bin" / "pip").read_text()


def test_too_old_a_python(checkout: Path, tmp_path: Path) -> None:
    old = program(tmp_path / "bin", "python3", '[ "$1" = --version ] && echo "Python 3.9.2"')
    result = run(checkout, PYTHON=str(old))
    assert result.returncode == 1
    assert result.stderr == (
        "setup: Bellhop needs Python 3.11 or newer (found: Python 3.9.2): install one, or name it with "
        "PYTHON=/path/to/python.\n"
    )


def test_no_python_at_all(checkout: Path) -> None:
    result = run(checkout, PYTHON="no-such-python")
    assert result.returncode == 1
    assert "(found: none)" in result.stderr


def test_a_missing_venv_module(checkout: Path, tmp_path: Path) -> None:
    body = f'case "$2" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"'
    bare = program(tmp_path / "bin", "python3", body)
    result = run(checkout, PYTHON=str(bare))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert result.returncode == 1
    assert result.stderr == (
        f"setup: {bare} has no venv module: install it (Debian and Ubuntu: apt-get install "
        f"python{version}-venv), then run this again.\n"
    )


def test_a_full_disk(checkout: Path, tmp_path: Path) -> None:
    program(tmp_path / "bin", "df", "printf 'head\\n/dev/x 9 9 12288 99%% /\\n'")
    result = run(checkout, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert result.returncode == 1
    assert result.stderr == (
        f"setup: the disk of {checkout.resolve()} has 12 MB left and 1000 MB are needed: free some space.\n"
    )


def test_an_interrupted_installation_is_not_taken_for_a_whole_one(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("./missing-package --hash=sha256:00\n")
    result = run(checkout)
    assert result.returncode == 1
    assert "setup: the packages could not be installed" in result.stderr
    assert list((checkout / ".venv").glob("installed-*")) == []


def test_an_unknown_argument(checkout: Path) -> None:
    result = run(checkout, "prod")
    assert result.returncode == 1
    assert result.stderr == "setup: unknown argument prod: use scripts/setup, or scripts/setup dev.\n"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_locks_have_a_hash_for_each_package_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
    packages = [line for line in text.splitlines() if line and line[0].isalpha()]
    assert [line for line in packages if "==" not in line or not line.endswith("\\")] == []
    assert len(packages) > 60


def test_the_development_lock_agrees_with_the_other() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line.removesuffix(" \\") for line in lines if line and line[0].isalpha()}

    assert pins("requirements.txt") - pins("requirements-dev.txt") == set()
