"""The project's own files, as the rules look at them."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "notifications", "delivery", "workers")
_FOREIGN = {"__pycache__", "staticfiles", "node_modules"}


def files(*folders: str, suffix: str = "") -> Iterator[Path]:
    """Files below these folders (all when none is named), without what is made or installed."""
    for folder in folders or (".",):
        for directory, names, here in os.walk(ROOT / folder):
            names[:] = [n for n in names if n not in _FOREIGN and (not n.startswith(".") or n == ".ci")]
            yield from (Path(directory) / name for name in sorted(here) if name.endswith(suffix))


def python(*folders: str) -> Iterator[Path]:
    """Python files below these folders; migrations are Django's."""
    return (path for path in files(*folders, suffix=".py") if path.parent.name != "migrations")


def name(path: Path) -> str:
    """The path as people write it."""
    return path.resolve().relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imports(module: ast.Module) -> Iterator[str]:
    """The absolute names a module imports, wherever in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def text(path: str) -> str:
    return (ROOT / path).read_text()
