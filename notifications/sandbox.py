"""
Liquid, strict and in a sandbox, with limits on everything that can grow. Pure.

There is no way out: no file is read, no other template, no clock. What a template does with values is bounded:
loops, sizes, and time. A signal could not stop a thread, so the clock is looked at in every turn of a loop and at
every filter; what lies between two looks is bounded by the size of the source.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TextIO

from liquid import BoundTemplate, Environment, Markup, RenderContext, Undefined
from liquid.ast import Node
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.for_tag import ForNode, ForTag
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.output import LimitedStringIO
from liquid.undefined import StrictDefaultUndefined

from notifications import filters, markup
from notifications.filters import Reader
from notifications.markup import Unusable

TAGS = ("assign", "break", "capture", "case", "continue", "for", "if", "unless", "#", "illegal", "content", "output")
MAX_TURNS = 10_000  # of all loops together
MAX_OUTPUT = 256 * 1024  # bytes
MAX_LOCALS = 256 * 1024  # bytes of what assign and capture keep
MAX_SECONDS = 0.5  # of the thread's own time: a worker that was only stopped for a while is not the template's fault


class Failed(Exception):
    """A template could not be rendered for these values: a variable was missing, or a limit was met."""


class _Context(RenderContext):
    """Liquid's context with one limit for all loops together, and with a look at the clock."""

    def __init__(self, template: BoundTemplate, *, reader: Reader, end: float, **rest: Any) -> None:
        super().__init__(template, **rest)
        self.reader = reader
        self._end = end
        self._turns = 0

    def look(self) -> None:
        if time.thread_time() > self._end:
            raise ResourceLimitError(f"it took longer than {MAX_SECONDS} s", token=None)

    @contextmanager
    def loop(self, namespace: Mapping[str, object], forloop: Any) -> Iterator[RenderContext]:
        forloop.it = self._counted(forloop.it)
        with super().loop(namespace, forloop) as context:
            yield context

    def _counted(self, turns: Iterator[Any]) -> Iterator[Any]:
        for turn in turns:
            self._turns += 1
            if self._turns > MAX_TURNS:
                raise ResourceLimitError(f"its loops take more than {MAX_TURNS} turns", token=None)
            self.look()
            yield turn

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        self.look()
        function = super().filter(name, token)

        def bounded(value: object, *args: object, **named: object) -> object:
            for one in (value, *args, *named.values()):
                _fit(one)
            result = _fit(function(value, *args, **named))
            # What went through a filter is data again, and escaped when it is printed.
            return str(result) if isinstance(result, Markup) and name not in filters.MARKUP else result

        return bounded


def _fit(value: object) -> object:
    """Raises for what is larger than a filter takes or gives."""
    if issubclass(type(value), Undefined):
        return value  # for `default` to deal with; nothing else could even look at it
    if (
        (isinstance(value, str) and len(value) > filters.MAX_TEXT)
        or (isinstance(value, list | tuple | range | dict) and len(value) > filters.MAX_ITEMS)
        or (isinstance(value, int | float) and not abs(value) <= filters.MAX_NUMBER)
    ):
        raise ResourceLimitError("a value is too large for a filter", token=None)
    return value


class _ForNode(ForNode):
    """A loop that looks how long it would be before anything is counted, skipped or turned round."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        over = self.expression.iterable.evaluate(context)
        if isinstance(over, Sized) and len(over) > MAX_TURNS:
            raise ResourceLimitError(f"a loop takes more than {MAX_TURNS} turns", token=None)
        return super().render_to_output(context, buffer)


class _ForTag(ForTag):
    node_class = _ForNode


class _Environment(Environment):
    loop_iteration_limit = MAX_TURNS
    output_stream_limit = MAX_OUTPUT
    local_namespace_limit = MAX_LOCALS
    context_depth_limit = 15
    block_nesting_limit = 15

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=False)
        self.add_tag(_ForTag)
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS}
        self.filters = {name: self.filters[name] for name in filters.KEPT} | filters.FILTERS


@lru_cache(maxsize=4)
def _environment(*, html: bool, strict: bool) -> Environment:
    return _Environment(autoescape=html, undefined=StrictDefaultUndefined if strict else Undefined)


STATIC = RenderContext(_environment(html=False, strict=True).from_string(""))  # asked for by `children`, and not used


def parse(source: str, *, html: bool, strict: bool, where: str) -> BoundTemplate:
    """
    Read a source. Raises Unusable, with the line. With `html`, values are escaped; unless `strict`, what is missing
    is nothing.
    """
    if not html:
        for piece in markup.pieces(source)[1::2]:
            if piece.strip("{}%- \t\n").split(" ")[0] in ("raw", "comment", "doc"):
                raise Unusable(f"In {where}: {piece} is not a tag we have; a comment is {{% # so %}}.")
    environment = _environment(html=html, strict=strict)
    try:
        parsed = environment.from_string(source)
        used = parsed.analyze().filters
    except (LiquidError, RecursionError) as error:
        token = getattr(error, "token", None)
        line = source.count("\n", 0, token.start_index) + 1 if token else 1
        raise Unusable(f"In {where}, line {line}: {str(error).splitlines()[0]}.") from error
    if _has_loose_range(parsed.nodes):
        raise Unusable(f"In {where}: a range like (1..3) can only be what a loop goes over.")
    if unknown := sorted(set(used) - set(environment.filters)):
        have = ", ".join(sorted(set(environment.filters) - {"attribute"}))
        raise Unusable(f"In {where}: there is no filter {', '.join(unknown)}. There are {have}.")
    return parsed


def _has_loose_range(nodes: Iterable[Node]) -> bool:
    """Whether there is a range that no loop bounds: to look for something in it could take forever."""
    for node in nodes:
        waiting = list(node.expressions())
        while waiting:
            one = waiting.pop()
            if isinstance(one, RangeLiteral):
                return True
            inner = list(one.children())
            if isinstance(one, LoopExpression) and isinstance(one.iterable, RangeLiteral):
                inner = [*inner[1:], one.iterable.start, one.iterable.stop]
            waiting += inner
        if _has_loose_range(node.children(STATIC)):
            return True
    return False


def fill(part: BoundTemplate, *, variables: Mapping[str, Any], reader: Reader, end: float) -> str:
    """The text with its values, before the thread's clock says `end`. Raises Failed."""
    buffer = LimitedStringIO(limit=MAX_OUTPUT)
    try:
        part.render_with_context(_Context(part, reader=reader, end=end, globals=variables), buffer)
    except Exception as error:
        # Whatever a template does with values it was not written for is its own failure, and not the worker's.
        raise Failed(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]) from error
    return buffer.getvalue()
