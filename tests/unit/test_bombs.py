"""Templates that would take all the time or memory there is. Each is ended by a limit, with a sentence."""

import time
from datetime import UTC
from typing import Any

import pytest
from babel import Locale

from notifications import rendering
from notifications.filters import Reader
from notifications.markup import Unusable
from notifications.rendering import Source
from notifications.sandbox import Failed

READER = Reader(Locale.parse("en"), UTC, "https://bell.example")
GIVEN: dict[str, Any] = {"long": "ab" * 5_000, "list": ["x" * 100] * 900, "five": 5}


def text(source: str) -> rendering.Compiled:
    return rendering.compile_source(Source("in_app", "en", "x", source))


def mail(source: str) -> rendering.Compiled:
    return rendering.compile_source(Source("email", "en", "x", source))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for a in (1..2000000000) %}x{% endfor %}", "loop"),
        ("{% for a in (1..99999999999999999999) %}x{% endfor %}", ""),
        ("{% for a in (1..2000000000) reversed %}x{% endfor %}", ""),
        ("{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}", "loop"),
        ("{% for a in (1..5000) %}{% endfor %}" * 3, "turns"),
        ("{% for a in (1..100) %}" * 8 + "x" + "{% endfor %}" * 8, "loop"),
        ("{% for a in (1..9000) %}{{ long }}{% endfor %}", "output"),
        ("{% assign s = long %}" + "{% assign s = s | append: s %}" * 40, "too large"),
        ("{% capture s %}{% for a in (1..9000) %}{{ long }}{% endfor %}{% endcapture %}", "output"),
        ("{{ long | replace: 'a', long | replace: 'b', long }}", "longer"),
        ("{{ long | replace: '', long }}", "longer"),
        ("{% for a in (1..2000000000) offset: 1999999990 %}x{% endfor %}", "loop"),
        ("{% for a in list limit: 2000000000 %}{% for b in list reversed %}{{ long }}{% endfor %}{% endfor %}", "loop"),
        ("{{ long | split: '' }}", "too large"),
        ("{{ list | join: long }}", "too large"),
        ("{% assign n = 9 %}" + "{% assign n = n | times: n %}" * 40, "too large"),
        ("{{ 9 | divided_by: 0 }}", ""),
        ("{{ five | date: 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' }}", ""),
        ("{% if " + "five or " * 100 + "five %}{{ none }}{% endif %}", "undefined"),
        (
            "{% for a in (1..9999) %}" + "{% assign n = long | upcase | size %}" * 300 + "{% endfor %}",
            "longer than 0.5",
        ),
        ("{% for a in (1..9999) %}" + "{% if five == 4 %}{% endif %}" * 900 + "{% endfor %}", "longer than 0.5"),
    ],
)
def test_what_would_not_end_is_ended(source: str, why: str) -> None:
    compiled = text(source)
    began = time.process_time()
    with pytest.raises(Failed) as failed:
        rendering.render(compiled, variables=GIVEN, reader=READER)
    assert why in str(failed.value)
    assert time.process_time() - began < 5  # against minutes or years


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x" * 10_000_000, "at most 65536 characters"),
        ("{{" * 30_000, "not closed"),
        ("{% raw %}" * 7_000, "not a tag we have"),
        ("{{ a }} {% " * 5_000, "not closed"),
        ("{{ " + "a" * 5_000 + " }}", "longer than 1000"),
        ("{{ a" + "[a" * 300 + "]" * 300 + " }}", ""),
        ("{{ (1..2000000000) | join: 'x' }}", "range"),
        ("{% assign r = (1..2000000000) %}", "range"),
        ("{% if (1..2000000000) contains 'x' %}{% endif %}", "range"),
        ("{% for a in list limit: (1..2000000000) %}{% endfor %}", "range"),
        ("{% if five %}{% for a in (1..(1..3)) %}{% endfor %}{% endif %}", ""),
        ("{% if five %}" * 2_000 + "{% endif %}" * 2_000, "nesting"),
    ],
)
def test_what_cannot_be_read_is_refused(source: str, why: str) -> None:
    began = time.process_time()
    with pytest.raises(Unusable) as refused:
        rendering.check(Source("in_app", "en", "x", source), known={"five": 5})
    assert why in str(refused.value)
    assert len(str(refused.value)) < 5000
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("<b>" * 8_000 + "</b>" * 8_000, "50 deep"),  # without the limit the process dies
        ("<mj-wrapper>" * 2_000 + "</mj-wrapper>" * 2_000, "50 deep"),
        ("<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>" * 900, "HTML may have at most"),
        ("<a" * 30_000, "not MJML"),
        ("<a '" * 15_000, "not MJML"),
        ('<a b="' * 10_000, "not MJML"),
        ("<!--" * 15_000, "not MJML"),
    ],
)
def test_mjml_that_would_end_the_process_or_fill_it_is_refused(source: str, why: str) -> None:
    began = time.process_time()
    with pytest.raises(Unusable, match=why):
        mail(source)
    assert time.process_time() - began < 5
