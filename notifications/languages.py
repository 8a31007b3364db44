"""Language tags (BCP 47) as we store them, and which language to use for whom. Pure; the CLDR by babel."""

from functools import lru_cache

from babel import Locale, UnknownLocaleError


@lru_cache(maxsize=1000)
def canonical(tag: str) -> str | None:
    """A tag as we store it: pt-br and pt_BR are pt-BR. None for what the CLDR does not know."""
    try:
        return str(Locale.parse(tag.replace("-", "_"))).replace("_", "-")
    except (ValueError, UnknownLocaleError):
        return None


@lru_cache(maxsize=1000)
def chain(wanted: str, *, fallback: str) -> tuple[str, ...]:
    """The tags to look for, most wanted first: pt-BR, pt, then the fallback and its own. Unknown ones are left out."""
    tags: list[str] = []
    for tag in (canonical(wanted), canonical(fallback)):
        while tag:
            tags.append(tag)
            tag = tag.rpartition("-")[0]
    return tuple(dict.fromkeys(tags))


@lru_cache(maxsize=1000)
def of_reader(written_in: str, *, locale: str) -> Locale:
    """How dates, numbers and plurals go: as the person has it, but never in another language than the words."""
    wanted = canonical(locale)
    same = wanted is not None and wanted.split("-")[0] == written_in.split("-")[0]
    return Locale.parse(wanted if same and wanted else written_in, sep="-")
