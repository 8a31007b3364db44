"""
Templates as files, to keep in git: one directory per type.

    layouts/main.mjml
    task.assigned/sample.json          the type's example of `template_data`
    task.assigned/email.de.liquid      a few lines between --- and ---, then the source as it is
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from core.errors import Invalid
from notifications import languages, layouts, templates
from notifications.models import Layout, Template, Type
from notifications.rendering import Source

LAYOUTS = "layouts"
SAMPLE = "sample.json"


class Words(NamedTuple):
    """One file of words."""

    type: str
    channel: str
    locale: str
    subject: str
    layout: str | None
    source: str

    def __str__(self) -> str:
        return f"{self.type}/{self.channel}.{self.locale}.liquid"


@dataclass
class Folder:
    """What stands in a directory, or in the database. Two that are equal say the same."""

    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    words: list[Words] = field(default_factory=list)


def stored() -> Folder:
    """What the database says now: the current versions, all layouts, the samples of types that have either."""
    rows = Template.objects.filter(current=True).order_by("type", "channel", "locale")
    words = [Words(r.type_id, r.channel, r.locale, r.subject, r.layout_id, r.source) for r in rows]
    types = Type.objects.order_by("key")
    return Folder(
        samples={type.key: type.sample for type in types if type.sample or any(type.key == w.type for w in words)},
        layouts=dict(Layout.objects.order_by("key").values_list("key", "source")),
        words=words,
    )


def write(folder: Folder, *, to: Path) -> int:
    """Make a directory say what `folder` says; files of ours that it does not say are removed. The number written."""
    files = {f"{LAYOUTS}/{key}.mjml": source for key, source in folder.layouts.items()}
    for type, sample in folder.samples.items():
        files[f"{type}/{SAMPLE}"] = json.dumps(sample, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    for words in folder.words:
        layout = f"layout: {words.layout}\n" if words.layout else ""
        files[str(words)] = f"---\nsubject: {words.subject}\n{layout}---\n{words.source}"
    for name, text in files.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_bytes(text.encode())
    for path in _ours(to):
        if path.relative_to(to).as_posix() not in files:
            path.unlink()
    return len(files)


def _ours(top: Path) -> Iterator[Path]:
    yield from sorted(top.glob(f"{LAYOUTS}/*.mjml"))
    yield from sorted(top.glob(f"*/{SAMPLE}"))
    yield from sorted(top.glob("*/*.liquid"))


def read(top: Path) -> Folder:
    """What a directory says. Raises Invalid, naming every file that cannot be read."""
    folder, unreadable = Folder(), {}
    for path in _ours(top):
        try:
            text = path.read_bytes().decode()
            if path.suffix == ".mjml":
                folder.layouts[path.stem] = text
            elif path.name == SAMPLE:
                folder.samples[path.parent.name] = _sample(text)
            else:
                folder.words.append(_words(path, text))
        except ValueError as error:
            unreadable[path.relative_to(top).as_posix()] = [str(error)]
    if unreadable:
        raise Invalid("Some files cannot be read: see details.", **unreadable)
    folder.words.sort()
    return folder


def _sample(text: str) -> dict[str, Any]:
    sample = json.loads(text)
    if not isinstance(sample, dict):
        raise ValueError("a sample is a JSON object")
    return sample


def _words(path: Path, text: str) -> Words:
    channel, _, locale = path.stem.partition(".")
    opening, _, rest = text.partition("---\n")
    head, closing, source = rest.partition("---\n") if rest.startswith("---\n") else rest.partition("\n---\n")
    lines = dict(line.partition(": ")[::2] for line in head.split("\n"))
    if opening or not closing or "subject" not in lines or not {"subject", "layout"}.issuperset(lines):
        raise ValueError("it has to begin with ---, `subject: ...`, perhaps `layout: ...`, and ---, a line each")
    if languages.canonical(locale) != locale:
        raise ValueError(f"{locale!r} is not a language tag as we write it: de, pt-BR")
    return Words(path.parent.name, channel, locale, lines["subject"], lines.get("layout"), source)


def problems(folder: Folder) -> Iterator[str]:
    """One line for everything that could not be used. Asks the database only for types without a sample here."""
    elsewhere = {one.type for one in folder.words} - set(folder.samples)
    samples = dict(Type.objects.filter(pk__in=elsewhere).values_list("key", "sample")) if elsewhere else {}
    samples |= folder.samples
    for words in folder.words:
        if words.type not in samples:
            yield f"{words}: there is no type {words.type}, and no {SAMPLE} beside it."
        elif words.layout is not None and words.layout not in folder.layouts:
            yield f"{words}: there is no {LAYOUTS}/{words.layout}.mjml."
        else:
            around = folder.layouts[words.layout] if words.layout else None
            source = Source(words.channel, words.locale, words.subject, words.source, around)
            if why := templates.problem(source, type=Type(key=words.type, sample=samples[words.type])):
                yield f"{words}: {why}"


def load(folder: Folder, *, by: int | None, now: datetime) -> int:
    """
    Put into the database what it does not say yet: the number of new versions. All or nothing; safe to run twice.
    What is only in the database stays. Raises Invalid.
    """
    with transaction.atomic():
        now_there = {words[:3]: words for words in stored().words}
        for key, source in folder.layouts.items():
            layouts.put(key, source=source, now=now)
        for key, sample in folder.samples.items():
            if not Type.objects.filter(pk=key).update(sample=sample):
                raise Invalid(f"There is no type {key}; make it first.")
        changed = [words for words in folder.words if now_there.get(words[:3]) != words]
        for words in changed:
            try:
                templates.save(**words._asdict(), by=by, now=now)
            except Invalid as error:
                why = [str(one) for reasons in error.details.values() for one in reasons]
                raise Invalid("Nothing was imported: see details.", **{str(words): why}) from error
        if broken := [f"{row}: {why}" for row, why in templates.problems(Template.objects.filter(current=True))]:
            raise Invalid("Nothing was imported: see details.", templates=broken)
    return len(changed)
