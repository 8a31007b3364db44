"""Templates as files: out, checked, and in again."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from notifications import layouts, template_files, templates
from notifications.models import Layout, Template, Type
from tests.factories import NOW

PART = "<mj-section><mj-column>\r\n<mj-text>---\n{{ vars.due | date }} ü</mj-text></mj-column></mj-section>\n\n"


@pytest.fixture
def written(committed: None) -> Iterator[None]:
    """Words in both channels, with a layout; nothing of it is left for other tests."""
    Type.objects.filter(pk="task.assigned").update(sample={"due": "2026-03-02", "größe": [1, {"a": None}]})
    layouts.save("main", source="<mjml><mj-body>{{ content }}</mj-body></mjml>\n", now=NOW)
    for locale in ("en", "pt-BR"):
        save("email", locale, " {{ title }}: x ", PART, layout="main")
        save("in_app", locale, "{{ actor }}", "", layout=None)
    yield
    Template.objects.all().delete()
    Layout.objects.all().delete()
    Type.objects.update(sample={})


def save(channel: str, locale: str, subject: str, source: str, *, layout: str | None) -> None:
    templates.save(
        type="task.assigned",
        channel=channel,
        locale=locale,
        subject=subject,
        source=source,
        layout=layout,
        by=None,
        now=NOW,
    )


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("templates", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def failed(*arguments: str) -> tuple[int, list[str]]:
    """The exit status and the lines of a command that fails."""
    out = StringIO()
    try:
        call_command("templates", *arguments, stdout=out, stderr=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue().splitlines()
    except CommandError as error:
        return error.returncode, [*out.getvalue().splitlines(), str(error)]
    raise AssertionError("it did not fail")


def test_out_and_in_again_is_the_same(written: None, tmp_path: Path) -> None:
    before = template_files.stored()
    assert run("export", str(tmp_path)) == "6 files written.\n"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")) == [
        "layouts/main.mjml",
        "task.assigned/email.en.liquid",
        "task.assigned/email.pt-BR.liquid",
        "task.assigned/in_app.en.liquid",
        "task.assigned/in_app.pt-BR.liquid",
        "task.assigned/sample.json",
    ]
    text = (tmp_path / "task.assigned/email.en.liquid").read_bytes().decode()
    assert text == f"---\nsubject:  {{{{ title }}}}: x \nlayout: main\n---\n{PART}"
    assert template_files.read(tmp_path) == before
    assert run("import", str(tmp_path)) == "0 new versions.\n"
    Template.objects.all().delete()
    Layout.objects.all().delete()
    Type.objects.update(sample={})
    assert run("import", str(tmp_path)) == "4 new versions.\n"
    assert template_files.stored() == before
    assert run("check", str(tmp_path)) == "4 templates, 0 problems.\n"
    assert run("check") == "4 templates, 0 problems.\n"


def test_only_what_differs_gets_a_new_version(written: None, tmp_path: Path) -> None:
    run("export", str(tmp_path))
    file = tmp_path / "task.assigned/in_app.en.liquid"
    file.write_text(file.read_text() + "More: {{ body }}")
    assert run("import", str(tmp_path)) == "1 new versions.\n"
    rows = Template.objects.filter(channel="in_app", locale="en").order_by("version")
    assert list(rows.values_list("version", "current", "source")) == [(1, False, ""), (2, True, "More: {{ body }}")]
    assert Template.objects.count() == 5


def test_all_or_nothing(written: None, tmp_path: Path) -> None:
    run("export", str(tmp_path))
    before = template_files.stored()
    good, bad = tmp_path / "task.assigned/email.en.liquid", tmp_path / "task.assigned/in_app.en.liquid"
    good.write_text(good.read_text().replace("ü", "good"))
    bad.write_text(bad.read_text() + "{{ vars.gone }}")
    (tmp_path / "layouts/other.mjml").write_text("<mjml><mj-body>{{ content }}</mj-body></mjml>")
    status, lines = failed("import", str(tmp_path))
    assert (status, lines[-1]) == (1, "Nothing was imported: see details.")
    assert lines[0].startswith("task.assigned/in_app.en.liquid: Unknown: vars.gone. Known: type, category, priority, ")
    assert lines[0].endswith("data.*, vars.due, vars.größe.")
    assert template_files.stored() == before
    assert Template.objects.count() == 4


def test_a_sample_that_stored_words_need_is_not_imported(written: None, tmp_path: Path) -> None:
    run("export", str(tmp_path))
    for file in tmp_path.glob("task.assigned/*.liquid"):
        file.unlink()
    (tmp_path / "task.assigned/sample.json").write_text("{}")
    status, lines = failed("import", str(tmp_path))
    assert status == 1
    assert lines[0].startswith("templates: task.assigned email en v1: Unknown: vars.due.")
    assert Type.objects.get(pk="task.assigned").sample["due"] == "2026-03-02"


def test_every_problem_has_a_line(written: None, tmp_path: Path) -> None:
    run("export", str(tmp_path))
    folder = tmp_path / "task.assigned"
    (folder / "email.de.liquid").write_text("---\nsubject: {{ titel }}\n---\n<mj-text>x</mj-text>")
    (folder / "email.fr.liquid").write_text("---\nsubject: x\nlayout: none\n---\n<mj-text>x</mj-text>")
    (folder / "email.it.liquid").write_text("---\nsubject: x\n---\n<mj-nothing />")
    (tmp_path / "task.lost").mkdir()
    (tmp_path / "task.lost/in_app.en.liquid").write_text("---\nsubject: x\n---\n")
    status, lines = failed("check", str(tmp_path))
    assert status == 1
    assert [line.split(":")[0] for line in lines] == [
        "task.assigned/email.de.liquid",
        "task.assigned/email.fr.liquid",
        "task.assigned/email.it.liquid",
        "task.lost/in_app.en.liquid",
        "8 templates, 4 problems.",
    ]
    assert "Unknown: titel." in lines[0]
    assert "there is no layouts/none.mjml" in lines[1]
    assert "There is no <mj-nothing>" in lines[2]
    assert "there is no type task.lost" in lines[3]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("task.assigned/email.en.liquid", "no head"),
        ("task.assigned/email.en.liquid", "---\nsubject: x\n"),
        ("task.assigned/email.en.liquid", "---\nlayout: main\n---\n"),
        ("task.assigned/email.en.liquid", "---\nsubject: x\ncolour: red\n---\n"),
        ("task.assigned/email.EN-us.liquid", "---\nsubject: x\n---\n"),
        ("task.assigned/sample.json", "{"),
        ("task.assigned/sample.json", "[]"),
    ],
)
def test_what_cannot_be_read_is_named(committed: None, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "task.assigned").mkdir()
    (tmp_path / name).write_text(text)
    for action in ("check", "import"):
        status, lines = failed(action, str(tmp_path))
        assert status == 1
        assert [line.split(": ")[0] for line in lines] == [name, "Some files cannot be read"]
    assert failed("check", str(tmp_path / "none"))[1] == [f"There is no directory {tmp_path}/none."]


def test_what_the_database_no_longer_has_is_removed_from_the_files(written: None, tmp_path: Path) -> None:
    run("export", str(tmp_path))
    (tmp_path / "README.md").write_text("ours")
    Template.objects.filter(locale="pt-BR").delete()
    run("export", str(tmp_path))
    assert template_files.read(tmp_path) == template_files.stored()
    assert not (tmp_path / "task.assigned/email.pt-BR.liquid").exists()
    assert (tmp_path / "README.md").read_text() == "ours"
