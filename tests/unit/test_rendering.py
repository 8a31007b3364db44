"""What a template says for whom, and what it can never be made to say."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from notifications import languages, rendering
from notifications.filters import Reader
from notifications.markup import Unusable
from notifications.rendering import Rendered, Source
from notifications.sandbox import Failed

GIVEN: dict[str, Any] = {
    "title": "Water the plants",
    "body": "Two lines:\nhere <b>they</b> are.",
    "action_url": "/tasks/42",
    "actor": "Bo",
    "tags": ["garden", "a & b"],
    "created_at": datetime(2026, 3, 2, 23, 30, tzinfo=UTC),
    "recipient": {"username": "anna", "first_name": ""},
    "data": {},
    "vars": {
        "count": 1,
        "price": 1234.5,
        "due": "2026-03-29",
        "items": [{"name": "Rose"}, {"name": "Fern"}],
        "no": None,
    },
}
KNOWN = {**GIVEN, "data": rendering.ANYTHING}
EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><img src=x onerror='alert(1)'>",
    "javascript:alert(1)",
    "{{ vars.count }}{% for a in tags %}",
    "</title></style>--><svg onload=alert(1)>",
]


def reader(locale: str = "en", zone: str = "UTC") -> Reader:
    return Reader(Locale.parse(locale, sep="-"), ZoneInfo(zone), "https://bell.example")


def say(source: str, *, locale: str = "en", zone: str = "UTC", given: Mapping[str, Any] = GIVEN) -> str:
    """A source as an inbox line."""
    compiled = rendering.check(Source("in_app", locale, "x", source), known=KNOWN)
    return rendering.render(compiled, variables=given, reader=reader(locale, zone)).text


def mail(source: str, *, subject: str = "x", layout: str | None = None, given: Mapping[str, Any] = GIVEN) -> Rendered:
    if "<mj-" not in source:
        source = f"<mj-section><mj-column><mj-text>{source}</mj-text></mj-column></mj-section>"
    compiled = rendering.check(Source("email", "en", subject, source, layout), known=KNOWN)
    return rendering.render(compiled, variables=given, reader=reader())


@pytest.mark.parametrize(
    ("locale", "zone", "source", "said"),
    [
        ("en", "UTC", "{{ title }} by {{ actor | upcase }}", "Water the plants by BO"),
        ("en", "UTC", "{{ created_at | date }}", "Mar 2, 2026"),
        ("en", "Asia/Kathmandu", "{{ created_at | date }}", "Mar 3, 2026"),
        ("de", "Europe/Berlin", "{{ created_at | datetime: 'long' }}", "3. März 2026, 00:30:00 MEZ"),
        ("de", "America/New_York", "{{ created_at | time }}", "18:30"),
        ("fr", "UTC", "{{ vars.due | date: 'full' }}", "dimanche 29 mars 2026"),
        ("en", "America/New_York", "{{ vars.due | date: 'yyyy-MM-dd' }}", "2026-03-29"),
        ("ja", "UTC", "{{ created_at | date: 'long' }}", "2026年3月2日"),
        ("ar", "UTC", "{{ created_at | date: 'yyyy' }}", "2026"),
        ("en", "UTC", "{{ vars.price | number }}", "1,234.5"),
        ("de", "UTC", "{{ vars.price | number: 2 }}", "1.234,50"),
        ("de", "UTC", "{{ '7' | number: 0 }}", "7"),
        ("en", "UTC", "{{ vars.price | currency: 'EUR' }}", "€1,234.50"),
        ("de", "UTC", "{{ vars.price | currency: 'EUR' }}", "1.234,50\xa0€"),
        ("ja", "UTC", "{{ vars.price | currency: 'JPY' }}", "￥1,234"),
        ("en", "UTC", "{{ vars.count | plural: one: '%n task', other: '%n tasks' }}", "1 task"),
        ("en", "UTC", "{{ 1200 | plural: one: '%n task', other: '%n tasks' }}", "1,200 tasks"),
        ("pl", "UTC", "{{ 3 | plural: one: 'plik', few: 'pliki', many: 'plików', other: 'pliku' }}", "pliki"),
        ("pl", "UTC", "{{ 5 | plural: one: 'plik', few: 'pliki', many: 'plików', other: 'pliku' }}", "plików"),
        ("ar", "UTC", "{{ 0 | plural: zero: 'none', other: 'some' }}", "none"),
        ("ja", "UTC", "{{ 1 | plural: one: 'one', other: 'other' }}", "other"),
        ("en", "UTC", "{% for item in vars.items %}{{ forloop.index }} {{ item.name }};{% endfor %}", "1 Rose;2 Fern;"),
        ("en", "UTC", "{{ tags | join: ', ' }} ({{ tags.size }})", "garden, a & b (2)"),
        ("en", "UTC", "{{ recipient.first_name | default: recipient.username }}", "anna"),
        ("en", "UTC", "{{ data.colour | default: 'no colour' }}", "no colour"),
        ("en", "UTC", "{% if vars.count == 1 %}one{% else %}many{% endif %}{% # a note %}", "one"),
        ("en", "UTC", "{% case actor %}{% when 'Bo' %}he{% else %}they{% endcase %}", "he"),
        ("en", "UTC", "{% assign x = title | truncate: 9 %}{{ x }}", "Water ..."),
        ("en", "UTC", "{{ vars.no }}{{ action_url | link }}", "https://bell.example/tasks/42"),
        ("en", "UTC", "{{ 'javascript:x' | link }}", "https://bell.example/"),
        ("en", "UTC", "{{ '<b>a</b> &lt;<script>x</script>' | html }}", "a <"),
    ],
)
def test_words_follow_the_readers_language_and_zone(locale: str, zone: str, source: str, said: str) -> None:
    assert say(source, locale=locale, zone=zone) == said


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ vars.cuont }}", "Unknown: vars.cuont. Known: title, "),
        ("{{ titel }}{{ now }}{{ recipient.age }}", "Unknown: now, recipient.age, titel."),
        ("{{ title.length }}", "Unknown: title.length."),
        ("{% if vars.count == 5 %}{{ vars.gone }}{% endif %}", "Unknown: vars.gone."),
        ("{% for i in vars.items %}{% if i.name == 'x' %}{{ i.nmae }}{% endif %}{% endfor %}", "Unknown: i.nmae."),
        ("{% for i in vars.itms %}{{ i.name }}{% endfor %}", "Unknown: i.name, vars.itms."),
        ("{{ title | shout }}", "there is no filter shout. There are append, "),
        ("{{ title | safe }}", "there is no filter safe."),
        ("{% include 'x' %}", "line 1: unexpected tag 'include'"),
        ("a\nb\n{% render 'x' %}", "line 3: unexpected tag 'render'"),
        ("{% increment x %}", "unexpected tag 'increment'"),
        ("{% if title %}", "endif"),
        ("{{ title", "{{ title is not closed with }}."),
        ("{% raw %}{{ x }}{% endraw %}", "{% raw %} is not a tag we have"),
        ("{{ title || body }}", "line 1"),
    ],
)
def test_a_mistake_is_told_when_it_is_saved(source: str, why: str) -> None:
    with pytest.raises(Unusable) as refused:
        say(source)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("<mj-section>", "not MJML"),
        ("<mj-section><mj-foo>x</mj-foo></mj-section>", "There is no <mj-foo>"),
        ("<mj-include path='/etc/passwd' />", "not MJML"),
        ("<mj-text>a < b</mj-text>", "not MJML"),
        ("  ", "source is empty"),
        ("<mj-text color='{{ title }}'>x</mj-text>", "cannot stand in style of <div>"),
        ("<mj-text><b {{ title }}>x</b></mj-text>", "between the quotes"),
        ("<mj-text><b onclick='{{ title }}'>x</b></mj-text>", "cannot stand in onclick of <b>"),
        ("<mj-text><a href='javascript:alert(1)'>x</a></mj-text>", "href of <a> is 'javascript:alert(1)'"),
        ("<mj-text><a href='//evil.example'>x</a></mj-text>", "start it with https://"),
        ("<mj-text><a href='{{ title }}/x'>x</a></mj-text>", "start it with https://"),
        ("<mj-text><a href='{% if title %}https://a{% endif %}'>x</a></mj-text>", "start it with https://"),
        ("<mj-raw><style>a { color: {{ title }} }</style></mj-raw>", "cannot stand in <style>"),
        ("<mj-raw><script>{{ title }}</script></mj-raw>", "cannot stand in <script>"),
        ("<mj-wrapper>{% if title %}<mj-section></mj-section>{% endif %}</mj-wrapper>", "mj-wrapper"),
        ("<mj-text>zliquid0z</mj-text>", "zliquid is ours"),
    ],
)
def test_what_a_mail_cannot_be_is_told_when_it_is_saved(source: str, why: str) -> None:
    with pytest.raises(Unusable) as refused:
        rendering.check(Source("email", "en", "x", source), known=KNOWN)
    assert why in str(refused.value)


class Shape(HTMLParser):
    """The elements of a page and the names of their attributes, as a browser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", [data]))


def shape(html: str) -> list[tuple[str, list[str]]]:
    parser = Shape()
    parser.feed(html)
    parser.close()
    assert len(parser.found) > 20
    return parser.found


@pytest.mark.parametrize("evil", EVIL)
def test_what_came_from_data_never_becomes_markup(evil: str) -> None:
    source = """
        <mj-section><mj-column>
        <mj-text><p title="{{ title }}">{{ title }} {{ body | newline_to_br }} {{ vars.items }} {{ tags }}
        {{ title | append: "<i>" | replace: "x", body }}
        {% capture c %}{{ title }}{% endcapture %}{{ c }}{{ c | upcase }}
        {% for t in tags %}<a href="{{ t }}">{{ t }}</a><a href="https://x.example/?q={{ t }}">{{ t }}</a>{% endfor %}
        {{ vars.no | default: title }} {{ vars.count | plural: one: title, other: title }}
        {{ title | html }}</p></mj-text><mj-button href="{{ action_url }}">{{ title }}</mj-button>
        <mj-image src="{{ action_url }}" alt="{{ title | html }}" />
        </mj-column></mj-section>"""
    given = {**GIVEN, "title": evil, "body": f"{evil}\n{evil}", "action_url": evil, "tags": [evil]}
    given["vars"] = {**GIVEN["vars"], "items": [{"name": evil}]}
    harmless = {**given, "title": "q", "body": "q\nq", "action_url": "q", "tags": ["q"]}
    harmless["vars"] = {**GIVEN["vars"], "items": [{"name": "q"}]}
    told, plain = mail(source, subject="{{ title }}", given=given), mail(source, given=harmless)
    assert shape(told.html) == shape(plain.html)
    assert 'href="javascript' not in told.html
    assert told.html.count('href="https://bell.example/"') == plain.html.count('href="https://bell.example/"') == 2
    assert evil.split("{")[0] in told.text
    assert told.subject == evil


def test_what_a_filter_gives_is_data_again() -> None:
    told = mail('{{ "<i>" | append: "<b>" }}{% capture c %}<u>{{ title }}</u>{% endcapture %}{{ c }}{{ c | upcase }}')
    assert ">&lt;i&gt;&lt;b&gt;<u>Water the plants</u>&lt;U&gt;WATER THE PLANTS&lt;/U&gt;<" in told.html


def test_html_from_data_keeps_only_what_is_harmless() -> None:
    note = (
        '<p onclick="x">Hi <b>you</b><a href="javascript:x">1</a><a href="https://a.example">2</a><iframe></iframe></p>'
    )
    told = mail("{{ data.note | default: '' | html }}", given={**GIVEN, "data": {"note": note}})
    rel = 'rel="noopener noreferrer"'
    assert f'><p>Hi <b>you</b><a {rel}>1</a><a href="https://a.example" {rel}>2</a></p><' in told.html
    assert told.text == "Hi you12"


def test_the_text_part_says_what_the_html_says() -> None:
    told = mail(
        """
        <mj-section><mj-column><mj-text><h1>{{ title }}</h1><p>Hello   {{ recipient.username }},
           see <a href="https://x.example/a?b=1&amp;c=2">here</a> &amp; <a href="{{ action_url }}">there</a>.</p>
           <ul>{% for item in vars.items %}<li>{{ item.name }}</li>{% endfor %}</ul></mj-text>
        <mj-text>{{ body | newline_to_br }}</mj-text><mj-image src="/logo.png" alt="Our logo" />
        {% if vars.count > 1 %}<mj-button href="/more">More</mj-button>{% endif %}
        </mj-column></mj-section>"""
    )
    assert told.text == (
        "Water the plants\n\nHello anna, see here (https://x.example/a?b=1&c=2) & there (https://bell.example/tasks/42)."
        "\n\n- Rose\n- Fern\n\nTwo lines:\nhere <b>they</b> are.\n\nOur logo"
    )
    assert 'src="https://bell.example/logo.png"' in told.html
    assert "Two lines:<br>\nhere &lt;b&gt;they&lt;/b&gt; are." in told.html
    assert "More" not in told.html
    assert '<div aria-roledescription="email" role="article" lang="en"' in told.html
    assert "fonts.googleapis" not in told.html


def test_a_layout_stands_around() -> None:
    top = "<mj-section><mj-column><mj-text>Top</mj-text></mj-column></mj-section>"
    layout = f"<mjml><mj-body>{top}{{{{ content }}}}</mj-body></mjml>"
    assert mail("Words", layout=layout).text == "Top\n\nWords"
    for broken in ("<mjml><mj-body></mj-body></mjml>", layout.replace("{{ content }}", "{{content}}{{ content }}")):
        with pytest.raises(Unusable, match="exactly once"):
            mail("Words", layout=broken)
    with pytest.raises(Unusable, match="leave out <mjml>"):
        mail("<mjml><mj-body><mj-section></mj-section></mj-body></mjml>", layout=layout)


def test_a_subject_is_one_line_and_bounded() -> None:
    given = {**GIVEN, "title": "a\r\nBcc: everybody@example.com " + "x" * 300}
    told = mail("x", subject="{{ title }}", given=given)
    assert told.subject == ("a Bcc: everybody@example.com " + "x" * 300)[:200]


@pytest.mark.parametrize(
    ("source", "given", "why"),
    [
        ("{{ vars.count }}", {"vars": {}}, "vars.count is undefined"),
        ("{% if data.x %}a{% endif %}", {}, "data.x is undefined"),
        ("{{ vars.due | date }}", {"vars": {"due": "tomorrow"}}, "'tomorrow' is not a date"),
        ("{{ vars.due | time }}", {}, "a day has no time"),
        ("{{ title | number }}", {}, "is not a number"),
        ("{{ vars.count | plural: one: 'x' }}", {}, "other is needed"),
        ("{{ vars.price | currency: 'TALER' }}", {}, "not a currency"),
        ("{{ vars.no }}", {}, "nothing was left to say"),
    ],
)
def test_what_cannot_be_said_fails_as_a_whole(source: str, given: dict[str, Any], why: str) -> None:
    with pytest.raises(Failed) as failed:
        mail(source, given={**GIVEN, **given})
    assert why in str(failed.value)


@pytest.mark.parametrize(
    ("wanted", "tags"),
    [
        ("pt-BR", ("pt-BR", "pt", "en-US", "en")),
        ("pt_br", ("pt-BR", "pt", "en-US", "en")),
        ("zh-TW", ("zh-Hant-TW", "zh-Hant", "zh", "en-US", "en")),
        ("en", ("en", "en-US")),
        ("", ("en-US", "en")),
        ("tlh-Klingon", ("en-US", "en")),
        ("../../etc", ("en-US", "en")),
    ],
)
def test_the_chain_of_languages(wanted: str, tags: tuple[str, ...]) -> None:
    assert languages.chain(wanted, fallback="en-us") == tags


@pytest.mark.parametrize(
    ("written_in", "locale", "used"),
    [("de", "de-AT", "de_AT"), ("en", "fr", "en"), ("de", "", "de"), ("pt-BR", "pt", "pt"), ("en", "??", "en")],
)
def test_dates_are_never_of_another_language_than_the_words(written_in: str, locale: str, used: str) -> None:
    assert str(languages.of_reader(written_in, locale=locale)) == used
