"""
From a template's source, Liquid standing in MJML, to the HTML and the text part, Liquid standing in each. Pure.

MJML is compiled once for a version, before any value is known: what came from data never meets the MJML parser,
and a message costs only its Liquid. While MJML is compiled a mark stands for every piece of Liquid.
"""

import re
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser

import mrml

MAX_SOURCE = 64 * 1024
MAX_HTML = 256 * 1024
MAX_PIECE = 1000  # characters between {{ and }}; the parser's time grows faster than their number
MAX_DEPTH = 50  # elements in each other: mrml recurses, and far too many end the process
CONTENT = re.compile(r"\{\{-?\s*content\s*-?\}\}")
DEFAULT_LAYOUT = "<mjml><mj-body>{{ content }}</mj-body></mjml>"

_DELIMITER = re.compile(r"\{\{|\}\}|\{%|%\}")
_CLOSES = {"{{": "}}", "{%": "%}"}
_MARK = re.compile(r"zliquid(\d+)z")
# As XML has it: no < in an attribute. Without one, looking for the end of a tag could take quadratic time.
_TAG = re.compile(r"""<(/?)([a-zA-Z][\w:-]*)((?:"[^"<]*"|'[^'<]*'|[^<>"'])*)>""")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_COMMENT = re.compile(r"<!--(?:(?!<!--|-->).)*-->", re.DOTALL)  # the first look ahead keeps it linear
_RAW = re.compile(r"<(style|script|noscript|template|iframe)\b[^>]*>(.*?)</\1", re.DOTALL | re.IGNORECASE)
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_LINKS = {"href", "src", "background"}
_PLAIN = {"alt", "title", "aria-label"}
_SAFE_START = re.compile(r"https?://[^\s]|mailto:|/(?![/\\])|#", re.IGNORECASE)


class Unusable(ValueError):
    """What is wrong with a source, in sentences for its author."""


@dataclass
class Compiled:
    """Liquid in HTML, and the same as Liquid in plain text."""

    html: str
    text: str


def pieces(source: str) -> list[str]:
    """
    Text and Liquid in turn; text first, perhaps empty. Raises Unusable for what is too long or never closed.

    Linear in time, so that only what is well delimited reaches Liquid's own scanner, which is not.
    """
    if len(source) > MAX_SOURCE:
        raise Unusable(f"A source may have at most {MAX_SOURCE} characters, this one has {len(source)}.")
    found, start, opened = [], 0, None
    for match in _DELIMITER.finditer(source):
        delimiter = match.group()
        if opened is None:
            if delimiter in _CLOSES:
                found.append(source[start : match.start()])
                start, opened = match.start(), delimiter
        elif delimiter == _CLOSES[opened]:
            if match.end() - start > MAX_PIECE:
                raise Unusable(f"{source[start : start + 30]}... is longer than {MAX_PIECE} characters.")
            found.append(source[start : match.end()])
            start, opened = match.end(), None
        else:
            break
    if opened is not None:
        raise Unusable(f"{source[start : start + 30]} is not closed with {_CLOSES[opened]}.")
    return [*found, source[start:]]


def compile_mjml(source: str, *, layout: str | None, locale: str) -> Compiled:
    """
    The HTML of a mail and the text made from it. Raises Unusable.

    A value may stand in text, where it is escaped, and in the attributes href, src, alt, title and aria-label;
    nowhere else, because elsewhere escaping is not enough.
    """
    liquid = _Liquid()
    html = _to_html(liquid.hidden(_whole(source, layout=layout)))
    html = html.replace('lang="und"', f'lang="{locale}"')
    for name, content in _RAW.findall(html):
        if liquid.has_values(content):
            raise Unusable(f"A value cannot stand in <{name.lower()}>.")
    for comment in _COMMENT.findall(html):
        if liquid.has_tags(comment):
            raise Unusable("{% %} cannot stand directly in mj-wrapper, nor in a comment; put it into mj-section.")
    html = _TAG.sub(lambda tag: liquid.guard(tag), html)
    if left := re.search(r"<[^>]*zliquid\d+z[^<]*>", _TAG.sub("", html)):
        raise Unusable(f"Liquid cannot stand in {liquid.shown(left.group())[:80]}.")
    writer = _TextWriter()
    writer.feed(html)
    writer.close()
    return Compiled(html=liquid.shown(html), text=liquid.shown(writer.text()))


def _whole(source: str, *, layout: str | None) -> str:
    """The document: the source in its layout, or in the plain one when it is only a part."""
    if layout is None and "<mjml" in source:
        return source
    if "<mjml" in source:
        raise Unusable("With a layout the source is only what stands in it: leave out <mjml> and <mj-body>.")
    around = DEFAULT_LAYOUT if layout is None else layout
    if len(CONTENT.findall(around)) != 1:
        raise Unusable("A layout needs {{ content }} exactly once.")
    return CONTENT.sub(lambda _: source, around)


def _to_html(document: str) -> str:
    depth = 0
    for end, name, rest in _TAG.findall(_COMMENT.sub("", document)):
        if name.lower() not in _VOID and not rest.endswith("/"):
            depth += -1 if end else 1
        if depth > MAX_DEPTH:
            raise Unusable(f"Elements may stand at most {MAX_DEPTH} deep in each other.")
    try:
        # Without `fonts`, mrml makes every mail fetch one from a stranger's server.
        html = mrml.to_html(document, None, mrml.RenderOptions(fonts={})).content
    except OSError as error:
        raise Unusable(f"This is not MJML: {error}.") from error
    if len(html) > MAX_HTML:
        raise Unusable(f"The HTML may have at most {MAX_HTML} characters, this one has {len(html)}.")
    if unknown := re.search(r"<(mj-[\w-]+)", html):
        raise Unusable(f"There is no <{unknown.group(1)}> in MJML, or not at that place.")
    return html


@dataclass
class _Liquid:
    """The pieces of Liquid that marks stand for."""

    kept: list[str] = field(default_factory=list)

    def hidden(self, source: str) -> str:
        if "zliquid" in source:
            raise Unusable("The word zliquid is ours; use another.")
        parts = pieces(source)
        return "".join(self.mark(part) if place % 2 else part for place, part in enumerate(parts))

    def mark(self, piece: str) -> str:
        self.kept.append(piece)
        return f"zliquid{len(self.kept) - 1}z"

    def shown(self, text: str) -> str:
        return _MARK.sub(lambda mark: self.kept[int(mark.group(1))], text)

    def has_values(self, text: str) -> bool:
        return any(self.kept[int(place)].startswith("{{") for place in _MARK.findall(text))

    def has_tags(self, text: str) -> bool:
        return any(self.kept[int(place)].startswith("{%") for place in _MARK.findall(text))

    def guard(self, tag: re.Match[str]) -> str:
        """One tag of the HTML, what stands in its attributes made safe. Raises Unusable where nothing would be."""
        outside = _ATTRIBUTE.sub("", tag.group(3))
        if _MARK.search(tag.group(2) + outside):
            raise Unusable(f"Liquid in <{tag.group(2)}> must stand between the quotes of an attribute.")

        def attribute(match: re.Match[str]) -> str:
            name, value = match.group(1).lower(), match.group(2) or (match.group(3) or "").replace('"', "&quot;")
            if name in _LINKS:
                value = self._link(value, where=f"{name} of <{tag.group(2)}>")
            elif self.has_values(value):
                if name not in _PLAIN:
                    raise Unusable(f"A value cannot stand in {name} of <{tag.group(2)}>: only in text, links and alt.")
                value = _MARK.sub(lambda mark: self._filtered(mark, "attribute"), value)
            return f'{name}="{value}"'

        return f"<{tag.group(1)}{tag.group(2)}{_ATTRIBUTE.sub(attribute, tag.group(3))}>"

    def _filtered(self, mark: re.Match[str], name: str) -> str:
        piece = self.kept[int(mark.group(1))]
        if not piece.startswith("{{"):
            return mark.group()
        inner = re.fullmatch(r"\{\{(-?)(.*?)(-?)\}\}", piece, re.DOTALL)
        assert inner is not None
        return self.mark(f"{{{{{inner[1]}{inner[2]} | {name} {inner[3]}}}}}")

    def _link(self, value: str, *, where: str) -> str:
        """Where a link leads: fixed from its first letters on, or one value that is checked when it is known."""
        whole = _MARK.fullmatch(value.strip())
        if whole and self.kept[int(whole.group(1))].startswith("{{"):
            return self._filtered(whole, "link")
        if value and not _SAFE_START.match(value):
            shown = self.shown(value)[:60]
            raise Unusable(
                f"{where} is {shown!r}: start it with https://, http:// or /, or let it be one {{{{ value }}}}."
            )
        if value.startswith("/"):
            head = _MARK.split(value)[0]
            literal = unescape(head).replace("'", "%27")
            value = self.mark(f"{{{{ '{literal}' | link }}}}") + value[len(head) :]
        return _MARK.sub(lambda mark: self._filtered(mark, "attribute"), value)


class _TextWriter(HTMLParser):
    """The words of a page as plain text; a link is followed by its address."""

    HIDDEN = {"head", "style", "script", "title"}
    LINES = {"tr", "li", "br", "td", "th"}
    BLOCKS = {"div", "p", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "body"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._hidden: list[str] = []
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._hidden or tag in self.HIDDEN or "display:none" in (given.get("style") or ""):
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        self._break(tag)
        if tag == "li":
            self._out.append("- ")
        elif tag == "img" and given.get("alt"):
            self._out.append(str(given["alt"]))
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self._out)))

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                del self._hidden[self._hidden.index(tag) :]
            return
        if tag == "a" and self._links:
            address, start = self._links.pop()
            said = "".join(self._out[start:]).strip()
            if address and address != said:
                self._out.append(f" ({address})" if said else address)
        if tag in self.BLOCKS:
            self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._out.append(re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag in self.BLOCKS:
            self._out.append("\n\n")
        elif tag in self.LINES:
            self._out.append("\n")

    def text(self) -> str:
        return tidy("".join(self._out))


def tidy(text: str) -> str:
    """No blanks at the ends of lines, at most one empty line at a time, none at the ends."""
    lines = [line.strip() for line in text.splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
