"""Who may import whom: import-linter's contracts hold, and the catch-all module does not exist."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.rules import tree

CATCH_ALL = {"utils", "util", "helpers", "helper", "misc", "common"}


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([linter, "--no-cache"], cwd=tree.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Arrows point down KEPT" in result.stdout


def test_no_module_is_a_catch_all() -> None:
    named = [
        tree.name(path) for path in tree.python() if CATCH_ALL & set(path.relative_to(tree.ROOT).with_suffix("").parts)
    ]
    assert named == []


def prints(module: ast.Module) -> list[int]:
    """The lines that call print()."""
    return [
        node.lineno
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def test_packages_log_and_do_not_print() -> None:
    """A management command speaks to a person at a terminal; everything else writes a log line."""
    found = {
        tree.name(path): lines
        for path in tree.python(*tree.PACKAGES)
        if "management" not in path.parts and (lines := prints(tree.parse(path)))
    }
    assert found == {}


def test_a_print_is_found() -> None:
    assert prints(ast.parse("def f():\n    print('x')\n    pprint('y')")) == [2]
