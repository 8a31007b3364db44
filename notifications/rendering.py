"""
Templates at work: what staff wrote, checked when it is saved and filled in for one reader. Pure.

A check knows the syntax, the MJML, and that every variable exists: a mistake is found before anything is sent.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from liquid import BoundTemplate
from liquid.ast import Node
from liquid.builtin.expressions import LoopExpression, Path
from liquid.builtin.tags.for_tag import ForNode

from notifications import markup
from notifications.filters import Reader
from notifications.markup import Unusable
from notifications.sandbox import MAX_SECONDS, STATIC, Failed, fill, parse

EMAIL = "email"
MAX_SUBJECT, MAX_WORDS = 200, 10_000  # as of an event

ANYTHING = object()  # in `known`: whatever is below it cannot be known


@dataclass(frozen=True, slots=True)
class Source:
    """What staff wrote: one version of the words of a type."""

    channel: str
    locale: str
    subject: str
    source: str
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A source, ready to be filled in."""

    subject: BoundTemplate
    text: BoundTemplate
    html: BoundTemplate | None

    @property
    def parts(self) -> list[BoundTemplate]:
        return [part for part in (self.subject, self.text, self.html) if part is not None]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words for one reader. `html` is empty where the channel has none."""

    subject: str
    text: str
    html: str


@lru_cache(maxsize=500)
def compile_source(source: Source, *, strict: bool = True) -> Compiled:
    """
    Check and parse a source. Raises Unusable. The key is the words themselves: what is remembered cannot be stale.

    With `strict` False what is missing renders as nothing, for a preview.
    """
    subject = parse(source.subject, html=False, strict=strict, where="the subject")
    plain = parse(source.source, html=False, strict=strict, where="the source")
    if source.channel != EMAIL:
        if source.layout is not None:
            raise Unusable("Only e-mail has layouts.")
        return Compiled(subject=subject, text=plain, html=None)
    if not source.source.strip():
        raise Unusable("The source is empty.")
    made = markup.compile_mjml(source.source, layout=source.layout, locale=source.locale)
    return Compiled(
        subject=subject,
        text=parse(made.text, html=False, strict=strict, where="the text part"),
        html=parse(made.html, html=True, strict=strict, where="the HTML part"),
    )


def check(source: Source, *, known: Mapping[str, Any]) -> Compiled:
    """Raises Unusable for what `compile_source` refuses, and for variables that are not `known`, naming both."""
    compiled = compile_source(source)
    if unknown := missing(compiled, known=known):
        raise Unusable(f"Unknown: {_listed(unknown)}. Known: {_listed(_names(known))}.")
    return compiled


def render(compiled: Compiled, *, variables: Mapping[str, Any], reader: Reader) -> Rendered:
    """Fill in the values. Raises Failed: a missing variable, a filter's refusal, a limit, or nothing left to say."""
    end = time.thread_time() + MAX_SECONDS
    subject, text = (
        fill(part, variables=variables, reader=reader, end=end) for part in (compiled.subject, compiled.text)
    )
    html = fill(compiled.html, variables=variables, reader=reader, end=end) if compiled.html else ""
    rendered = Rendered(subject=" ".join(subject.split())[:MAX_SUBJECT], text=markup.tidy(text), html=html)
    if not rendered.subject or (compiled.html and not rendered.text):
        raise Failed("nothing was left to say")
    return rendered


def missing(compiled: Compiled, *, known: Mapping[str, Any]) -> list[str]:
    """The variables that a template names and `known` does not have, also in branches that are seldom taken."""
    found = set()
    for part in compiled.parts:
        loops = _loops(part.nodes)
        analysis = part.analyze()
        for variables in analysis.variables.values():
            for variable in variables:
                local = variable.segments[0] not in analysis.globals
                if local and variable.segments[0] not in loops:
                    continue  # of assign or capture: made by the template itself
                if not any(_exists(path, known) for path in _expanded(variable.segments, loops if local else {})):
                    found.add(str(variable))
    return sorted(found)


def _loops(nodes: Sequence[Node]) -> dict[str, list[list[Any]]]:
    """By name of a loop's variable: what is looped over."""
    found: dict[str, list[list[Any]]] = {}
    for node in nodes:
        if isinstance(node, ForNode):
            over: LoopExpression = node.expression
            # A list that the template made itself is not looked into.
            path = list(over.iterable.path) if isinstance(over.iterable, Path) else []
            found.setdefault(str(over.identifier), []).append(path)
        for name, paths in _loops(list(node.children(STATIC))).items():
            found.setdefault(name, []).extend(paths)
    return found


def _expanded(path: Sequence[Any], loops: dict[str, list[list[Any]]], depth: int = 0) -> Iterator[list[Any]]:
    """A loop's variable as what it stands for: `item.name` is the name of an entry of `vars.items`."""
    over = loops.get(str(path[0]))
    if over is None or depth > 5:
        yield list(path)
        return
    for one in over:
        if not one:
            yield []
        else:
            yield from _expanded([*one, 0, *path[1:]], {k: v for k, v in loops.items() if k != path[0]}, depth + 1)


def _exists(path: Sequence[Any], known: Any) -> bool:
    for segment in path:
        if known is ANYTHING or not isinstance(segment, str | int):
            return True  # what cannot be known before
        if segment in ("size", "first", "last") and isinstance(known, list | str | Mapping):
            known = known[0] if isinstance(known, list) and known and segment != "size" else ANYTHING
        elif isinstance(known, list) and isinstance(segment, int):
            known = known[0] if known else ANYTHING
        elif isinstance(known, Mapping) and segment in known:
            known = known[segment]
        else:
            return False
    return True


def _names(known: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in known.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}{'.*' if value is ANYTHING else ''}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name[:60] for name in islice(names, 50))
