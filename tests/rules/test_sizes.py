"""Small files, small functions: what does not fit has two subjects."""

import ast
from pathlib import Path

from tests.rules import tree

FUNCTION = 60


def budget(name: str) -> int:
    """How many lines a file may have."""
    if name.startswith("tests/"):
        return 400
    return 300


def long_functions(module: ast.Module) -> list[tuple[str, int]]:
    """The functions of more than FUNCTION lines, each with its length from `def` to its last line."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION:
                found.append((node.name, lines))
    return found


def code() -> list[Path]:
    return [*tree.python(), *tree.files(suffix=".js"), *tree.files(suffix=".css"), *tree.files("docs", suffix=".md")]


def test_files_are_short() -> None:
    lengths = {tree.name(path): len(path.read_text().splitlines()) for path in code()}
    assert len(lengths) > 80, "the walk must see the whole project"
    assert {name: lines for name, lines in lengths.items() if lines > budget(name)} == {}


def test_functions_are_short() -> None:
    assert {tree.name(path): long for path in tree.python() if (long := long_functions(tree.parse(path)))} == {}


def test_readme_and_setup_are_short() -> None:
    assert len(tree.text("README.md").splitlines()) <= 100
    assert len(tree.text("SETUP.md").splitlines()) <= 160


def test_the_budget_is_by_name() -> None:
    assert [budget(n) for n in ("core/celery.py", "notifications/events.py", "tests/unit/test_retry.py")] == [
        300,
        300,
        400,
    ]


def test_a_long_function_is_found() -> None:
    def source(lines: int) -> ast.Module:
        return ast.parse("class A:\n    async def f(self):\n" + "        pass\n" * (lines - 1))

    assert long_functions(source(60)) == []
    assert long_functions(source(61)) == [("f", 61)]
