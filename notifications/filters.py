"""
The filters that templates may use, beside a few of Liquid's own. Pure.

Dates, numbers and plurals follow the reader's language and time zone, by the Unicode CLDR (babel).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from html import escape, unescape
from typing import Any
from urllib.parse import urljoin

import nh3
from babel import Locale, dates, numbers
from liquid import Environment, Markup
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context, with_environment

from notifications.submission import followable

FORMATS = {"short", "medium", "long", "full"}
MAX_PATTERN = 50
PLURALS = {"zero", "one", "two", "few", "many", "other"}
TAGS = {"a", "b", "blockquote", "br", "code", "em", "i", "li", "ol", "p", "pre", "s", "strong", "u", "ul"}


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom something is written. `home` is where links that start with / lead."""

    locale: Locale
    zone: tzinfo
    home: str


def _when(value: Any, zone: tzinfo) -> date | datetime:
    """A moment in the reader's zone. A day stays a day; a time without a zone is the reader's own."""
    try:
        if isinstance(value, str):
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.astimezone(zone) if value.tzinfo else value.replace(tzinfo=zone)
    except (ValueError, OverflowError):
        pass
    if isinstance(value, date):
        return value
    raise FilterArgumentError(
        f"{str(value)[:40]!r} is not a date such as 2026-03-02 or 2026-03-02T09:00:00Z", token=None
    )


def _format(given: Any) -> Any:
    if not isinstance(given, str) or not 0 < len(given) <= MAX_PATTERN:
        raise FilterArgumentError("the format is short, medium, long, full or a CLDR pattern", token=None)
    return str(given)


@with_context
def date_(value: Any, pattern: Any = "medium", *, context: Any) -> str:
    return dates.format_date(_when(value, context.reader.zone), _format(pattern), locale=context.reader.locale)


@with_context
def time_(value: Any, pattern: Any = "short", *, context: Any) -> str:
    when = _when(value, context.reader.zone)
    if not isinstance(when, datetime):
        raise FilterArgumentError("a day has no time", token=None)
    return dates.format_time(when, _format(pattern), tzinfo=context.reader.zone, locale=context.reader.locale)


@with_context
def datetime_(value: Any, pattern: Any = "medium", *, context: Any) -> str:
    when = _when(value, context.reader.zone)
    if not isinstance(when, datetime):
        raise FilterArgumentError("a day has no time: use `date`", token=None)
    return dates.format_datetime(when, _format(pattern), tzinfo=context.reader.zone, locale=context.reader.locale)


def _number(value: Any) -> int | Decimal:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        found = Decimal(str(value))
        if found.is_finite():
            return found
    except InvalidOperation:
        pass
    raise FilterArgumentError(f"{str(value)[:40]!r} is not a number", token=None)


@with_context
def number(value: Any, decimals: Any = None, *, context: Any) -> str:
    if decimals is None:
        return numbers.format_decimal(_number(value), locale=context.reader.locale)
    if not isinstance(decimals, int) or not 0 <= decimals <= 10:
        raise FilterArgumentError("the decimals are a number from 0 to 10", token=None)
    pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
    return numbers.format_decimal(_number(value), pattern, locale=context.reader.locale)


@with_context
def currency(value: Any, code: Any, *, context: Any) -> str:
    if not isinstance(code, str) or code not in numbers.list_currencies():
        raise FilterArgumentError(f"{str(code)[:10]!r} is not a currency such as EUR", token=None)
    return numbers.format_currency(_number(value), str(code), locale=context.reader.locale)


@with_context
def plural(value: Any, *, context: Any, **forms: Any) -> str:
    """The form for this many in the reader's language; %n in it is the number."""
    if "other" not in forms or not PLURALS.issuperset(forms):
        raise FilterArgumentError("forms are zero, one, two, few, many and other; other is needed", token=None)
    count = _number(value)
    form = forms.get(context.reader.locale.plural_form(count), forms["other"])
    return str(form).replace("%n", numbers.format_decimal(count, locale=context.reader.locale))


@with_context
def link(value: Any, *, context: Any) -> str:
    """An address that a mail may carry, absolute; instead of anything else, home."""
    url = str(value).strip()
    return urljoin(str(context.reader.home), url if followable(url) else "/")


@with_environment
def attribute(value: Any, *, environment: Environment) -> str:
    """What stands in quotes: escaped even when it is markup."""
    text = "" if value is None else str(value)
    return Markup(escape(text, quote=True)) if environment.autoescape else text


@with_environment
def html(value: Any, *, environment: Environment) -> str:
    """HTML from data, with all but a few harmless tags and their words removed; in a text part only the words."""
    if not environment.autoescape:
        return unescape(nh3.clean(str(value), tags=set(), clean_content_tags={"script", "style"}))
    return Markup(
        nh3.clean(str(value), tags=TAGS, attributes={"a": {"href", "title"}}, url_schemes={"http", "https", "mailto"})
    )


@with_environment
def newline_to_br(value: Any, *, environment: Environment) -> str:
    if not environment.autoescape:
        return str(value)
    text = value if isinstance(value, Markup) else Markup(escape(str(value)))
    return Markup(str(text).replace("\r\n", "\n").replace("\n", "<br>\n"))


def replace(value: Any, old: Any, new: Any = "") -> str:
    text, was, becomes = str(value), str(old), str(new)
    if len(text) + text.count(was) * max(len(becomes) - len(was), 0) > MAX_TEXT:
        raise FilterArgumentError(f"the result would be longer than {MAX_TEXT} characters", token=None)
    return text.replace(was, becomes)


MAX_TEXT = 20_000  # characters a filter takes or gives
MAX_ITEMS = 1000
MAX_NUMBER = 10**15
# Liquid's own that stay. Left out: what makes markup of data, reads the clock, or grows faster than it is asked to.
KEPT = [
    *("append", "capitalize", "downcase", "lstrip", "prepend", "remove", "rstrip", "slice", "split", "strip"),
    *("truncate", "truncatewords", "upcase", "url_encode"),
    *("compact", "first", "join", "last", "map", "reverse", "size", "sort", "uniq", "where"),
    *("at_least", "at_most", "ceil", "default", "divided_by", "floor", "minus", "modulo", "plus", "times"),
]
MARKUP = {"html", "newline_to_br", "attribute"}  # what the others give is escaped again when it is printed

FILTERS: dict[str, Callable[..., Any]] = {
    "date": date_,
    "time": time_,
    "datetime": datetime_,
    "number": number,
    "currency": currency,
    "plural": plural,
    "link": link,
    "attribute": attribute,
    "html": html,
    "newline_to_br": newline_to_br,
    "replace": replace,
}
