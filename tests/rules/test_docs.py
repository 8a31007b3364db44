"""The pages name what is there, and nothing that is not."""

import ast
import os
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import get_args

import pytest

from delivery import commands, protocol
from notifications import values, words
from notifications.api import notifications as inbox_api
from notifications.api import urls
from tests.rules import tree
from workers import api as engine_api

PAGES = [tree.ROOT / "README.md", tree.ROOT / "SETUP.md", *tree.files("docs", "clients", "deploy", suffix=".md")]
# Set by the system or by make, for tools or by us for our own processes: nobody chooses them.
NOT_SETTINGS = {"PATH", "MAKELEVEL", "DJANGO_SETTINGS_MODULE", "PYTHON", "PYTHONUNBUFFERED", "BROWSER_PATH", "TMPDIR"}
# A how-to's reader makes these.
EXAMPLES = {"delivery/providers/mbox.py", "delivery/channels/sms.py"}


def read_from_environment() -> set[str]:
    """Every name that our code, the Procfile or the Makefile takes from the environment."""
    names: set[str] = set()
    for path in tree.python(*tree.PACKAGES, "scripts"):
        if "/bench/" not in path.as_posix():
            text = path.read_text()
            names |= set(re.findall(r"""\benv\.\w+\(\s*"([A-Z_]+)\"""", text))
            names |= set(re.findall(r"""\benviron(?:\.get\(|\[)"([A-Z_]+)\"""", text))
            names |= set(re.findall(r"""\b_port\("([A-Z_]+)"\)""", text))
    names |= set(re.findall(r"\$\{([A-Z_]+)", tree.text("Procfile")))
    names |= set(re.findall(r"export ([A-Z_]+)", tree.text("Makefile")))
    return names - NOT_SETTINGS


def test_every_setting_is_named() -> None:
    names = read_from_environment()
    assert {"SECRET_KEY", "WEB_WORKERS", "SMTP_PORT", "DEMO", "FLOWER_BASIC_AUTH"} <= names
    example = set(re.findall(r"^#?([A-Z_]+)=", tree.text(".env.example"), re.MULTILINE))
    assert names - example == set(), "add them to .env.example"
    assert example - names == set(), "nothing reads these of .env.example"
    documented = set(re.findall(r"`([A-Z_]+)`", tree.text("docs/settings.md")))
    assert names - documented == set(), "add them to docs/settings.md"


def test_every_command_is_named() -> None:
    page = tree.text("docs/commands.md")
    commands = {
        p.stem for package in tree.PACKAGES for p in (tree.ROOT / package).glob("management/commands/[a-z]*.py")
    }
    assert {"up", "dispatcher"} <= commands
    scripts = {
        f"scripts/{p.name}" for p in (tree.ROOT / "scripts").iterdir() if p.name[0] not in "_." and p.name != "data"
    }
    targets = {f"make {name}" for name in re.findall(r"^([a-z-]+):", tree.text("Makefile"), re.MULTILINE)}
    assert {name for name in commands | scripts | targets if f"`{name}`" not in page} == set()


LISTS: list[type[StrEnum]] = [
    words.Priority,
    words.Lane,
    words.EventState,
    words.DeliveryState,
    words.Reason,
    words.Change,
    values.Result,
]


@pytest.mark.parametrize("words_of", LISTS, ids=lambda words_of: words_of.__name__)
def test_every_word_is_in_the_glossary(words_of: type[StrEnum]) -> None:
    page = tree.text("docs/glossary.md")
    assert [word.value for word in words_of if f"`{word.value}`" not in page] == []


@pytest.mark.parametrize(("heading", "words_of"), [("Reasons", words.Reason), ("Results", values.Result)])
def test_the_glossary_explains_each_once_and_no_other(heading: str, words_of: type[StrEnum]) -> None:
    section = tree.text("docs/glossary.md").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [word.value for word in words_of]


def test_every_frame_command_and_close_code_is_in_the_protocol() -> None:
    page = tree.text("docs/protocol.md")
    source = tree.text("delivery/protocol.py")
    frames = {kind.__struct_config__.tag for kind in get_args(protocol.Frame)}
    frames |= set(re.findall(r'\btype="(\w+)"', source)) | set(re.findall(r'"type": ?"(\w+)"', source))
    assert {"hello", "resume", "welcome", "sync", "event", "events", "ping", "result", "bye"} <= frames
    assert {name for name in frames if f'"type":"{name}"' not in page} == set()
    codes = {value for value in vars(protocol).values() if isinstance(value, int) and 4000 <= value < 5000}
    assert len(codes) > 5
    assert codes - {int(code) for code in re.findall(r"^\| (4\d{3}) \|", page, re.MULTILINE)} == set()
    assert {name for name in commands.COMMANDS if f"`{name}`" not in page} == set()


def test_every_path_and_filter_is_in_the_api_page() -> None:
    page = tree.text("docs/api.md")
    patterns = [*urls.urlpatterns, *engine_api.urlpatterns]
    paths = {"/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)) for pattern in patterns}
    assert {path for path in paths if f"`{path}`" not in page.replace(", ", "` `")} == set()
    assert {name for name in inbox_api.FILTERS if f"`{name}`" not in page} == set()


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = Path(os.path.normpath(page.parent / name)) if name else page
        if not file.exists() or (anchor and anchor not in slugs(file)):
            yield target


def test_links_lead_somewhere() -> None:
    assert {tree.name(page): broken for page in PAGES if (broken := list(broken_links(page)))} == {}


NAMED_FILE = re.compile(r"(?<![\w./$-])((?:[\w.@-]+/)+[\w.@-]+\.(?:py|md|js|html|txt|toml|yaml|conf))(?:::(\w+))?")


def missing_files(text: str) -> Iterator[str]:
    """Files of ours that a text names, and that are not there; of `file::test` the test too."""
    for name, test in NAMED_FILE.findall(text):
        top = name.split("/")[0]
        if name in EXAMPLES or not (tree.ROOT / top).is_dir() or top.startswith("."):
            continue
        path = tree.ROOT / name
        if path.suffix == ".html" and (tree.ROOT / top / "templates" / name).is_file():
            continue  # a template's name
        if not path.is_file() or (test and not re.search(rf"def {test}\(", path.read_text())):
            yield f"{name}::{test}" if test else name


def test_files_that_pages_and_code_name_are_there() -> None:
    sources = [
        *PAGES,
        *tree.python(*tree.PACKAGES, "scripts"),
        tree.ROOT / ".env.example",
        tree.ROOT / "pyproject.toml",
    ]
    assert {tree.name(path): lost for path in sources if (lost := list(missing_files(path.read_text())))} == {}


LOGGED = re.compile(r"""\blog\.\w+\(\s*"([\w.]+)\"""")


def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and `Class.method`."""
    found = set()
    for node in tree.parse(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if hasattr(part, "name")}
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def missing_names(text: str) -> list[str]:
    """`module.function`, `Class.method` and log lines of ours that a page names, and that do not exist."""
    known: dict[str, set[str]] = {}
    for path in tree.python("notifications", "delivery", "workers", "core"):
        if path.parent.name != "models":  # a page that says `event.seq` speaks of the frame
            known.setdefault(path.stem, set()).update(names_in(path))
    classes = {name.split(".")[0]: known[stem] for stem in known for name in known[stem] if "." in name}
    logged = {name for path in tree.python(*tree.PACKAGES) for name in LOGGED.findall(path.read_text())}
    missing = []
    for owner, name in re.findall(r"`(?:[a-z]+\.)*([A-Za-z]+)\.(\w+)(?:\(.*?\))?`", text):
        if name in {"py", "md"} or f"{owner}.{name}" in logged:
            continue
        if (owner in known and name not in known[owner]) or (
            owner in classes and f"{owner}.{name}" not in classes[owner]
        ):
            missing.append(f"{owner}.{name}")
    return missing


def test_functions_that_pages_name_exist() -> None:
    # A how-to's reader writes some of them, and the report of a measurement speaks of fields.
    pages = [page for page in PAGES if page.parent.name != "how-to" and page.name != "performance.md"]
    assert {tree.name(page): lost for page in pages if (lost := missing_names(page.read_text()))} == {}


def test_what_is_missing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Two words!\n[a](#two-words) [b](#three) [c](other.md) [d](https://example.com/x.md)")
    assert list(broken_links(page)) == ["#three", "other.md"]
    text = "core/gone.py, tests/rules/test_docs.py::test_gone, tests/rules/test_docs.py::test_links_lead_somewhere"
    assert list(missing_files(text)) == ["core/gone.py", "tests/rules/test_docs.py::test_gone"]
    text = "`events.accept`, `events.chunk_failed`, `events.gone(...)`, `Hub._fan_out`, `Hub.gone`, `strangers.gone`"
    assert missing_names(text) == ["events.gone", "Hub.gone"]
