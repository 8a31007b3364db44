"""What must not stand in any file: a path of somebody's machine, a place to download from, a note to self."""

import re
from pathlib import Path

from tests.rules import tree

BINARY = {".png", ".jpg", ".ico", ".woff2", ".gz"}
# A person's home, and the directories of build machines. Written so that this file does not match itself.
MACHINE = re.compile(r"(?<![\w.~/-])/(?:home|Users|root|work|workspace|builds)/[\w.-]+")
NOTE = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
PLACE = re.compile(r"://|^\s*-{1,2}(?:i|index-url|extra-index-url|find-links|trusted-host)\b", re.MULTILINE)


def texts() -> list[tuple[str, str]]:
    return [(tree.name(path), path.read_text()) for path in every_file() if path.suffix not in BINARY]


def every_file() -> list[Path]:
    top = [tree.ROOT / n for n in (".env.example", ".gitignore", ".pre-commit-config.yaml")]
    # Lock files have a rule of their own below; served data sets are other people's text.
    return [
        path
        for path in [*tree.files(), *top]
        if not path.name.startswith("requirements") and "data" not in path.parent.parts
    ]


def found(pattern: re.Pattern[str]) -> dict[str, list[str]]:
    return {name: hits for name, text in texts() if (hits := pattern.findall(text))}


def test_no_path_of_a_machine() -> None:
    assert found(MACHINE) == {}


def test_no_note_to_self() -> None:
    assert found(NOTE) == {}


def test_lock_files_name_no_place_to_download_from() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt"):
        text = tree.text(lock)
        assert PLACE.findall(text) == [], lock
        assert text.count("==") > 30, lock


def test_everything_locked_is_hashed() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt"):
        pins = re.split(r"\n(?=[a-z0-9])", tree.text(lock))
        assert [pin.splitlines()[0] for pin in pins if "==" in pin and "--hash=sha256:" not in pin] == [], lock


def test_what_runs_is_locked_alike_for_tests() -> None:
    def pins(lock: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.\[\]-]+)==(\S+)", tree.text(lock), re.MULTILINE))

    run, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: version for name, version in run.items() if development.get(name) != version} == {}


def test_the_patterns_find_what_they_should() -> None:
    assert MACHINE.findall("see /home" + "/anna/bellhop") == ["/home" + "/anna"]
    assert MACHINE.findall("https://example.com/wo" + "rk/x and ./home/x and app/wo" + "rk/y") == []
    assert NOTE.findall("TO" + "DO: later, METHODOLOGY") == ["TO" + "DO"]
    assert PLACE.findall("--index-url x\ndjango==5 \\\n    --hash=sha256:00") == ["--index-url"]
