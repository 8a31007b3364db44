"""A Celery message is a hint that may be lost. So Celery stays in four files, and time is a `due_at` on a row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from core import queue
from core.celery import app
from notifications.words import Lane
from tests.rules import tree

FILES = {"core/celery.py", "core/queue.py", "workers/tasks.py", "workers/schedules.py"}
LATE_CALLS = {"apply_async", "delay", "retry", "signature", "si"}
LATE_WORDS = {"eta", "countdown"}


def uses_celery(module: ast.Module) -> bool:
    return any(name.split(".")[0] in ("celery", "kombu") for name in tree.imports(module))


def late_work(module: ast.Module) -> list[str]:
    """Calls that publish a task past core/queue.py, or for later."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in LATE_CALLS:
                found.append(f".{node.func.attr}() in line {node.lineno}")
            found += [f"{word.arg}= in line {node.lineno}" for word in node.keywords if word.arg in LATE_WORDS]
    return found


def product() -> Iterator[Path]:
    """All that runs in production and what people run; the naive design of the benchmark is the counter-example."""
    return (p for p in tree.python(*tree.PACKAGES, "scripts") if "/bench/" not in p.as_posix())


def test_celery_is_imported_only_at_the_edge() -> None:
    assert {tree.name(path) for path in product() if uses_celery(tree.parse(path))} <= FILES


def test_nothing_is_published_for_later() -> None:
    assert {tree.name(path): late for path in product() if (late := late_work(tree.parse(path)))} == {}


def test_only_the_queue_publishes() -> None:
    assert [tree.name(p) for p in product() if "app.send_task(" in p.read_text()] == ["core/queue.py"]


def test_tasks_are_thin() -> None:
    """Take the hint, clear it, call once: a docstring and at most two statements."""
    found = [n for n in tree.parse(tree.ROOT / "workers/tasks.py").body if isinstance(n, ast.FunctionDef)]
    assert {task.name: len(task.body) for task in found if len(task.body) > 3} == {}
    assert len(found) == 4


def test_the_lanes_are_the_queues() -> None:
    used = {queue.queue_of(task, lane) for task in (queue.PROCESS_EVENTS, queue.DELIVER) for lane in Lane}
    assert set(app.conf.task_queues) == used == {*Lane, "deliver_urgent", "deliver"}
    read = {name for line in tree.text("Procfile").splitlines() for name in re.findall(r"-Q (\S+)", line)}
    assert set(",".join(read).split(",")) == used


def test_what_is_looked_for_is_found() -> None:
    assert uses_celery(ast.parse("def f():\n    from kombu.exceptions import OperationalError"))
    assert not uses_celery(ast.parse("import django_celery_beat\nfrom core.celery import app"))
    assert late_work(ast.parse("task.apply_async(eta=1)")) == [".apply_async() in line 1", "eta= in line 1"]
    assert late_work(ast.parse("app.send_task(name, retry=False)")) == []
