"""A real Chromium before the running Bellhop."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import factories
from tests.acceptance.conftest import bellhop, running  # noqa: F401  fixtures
from tests.processes import ROOT, Bellhop

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SignIn = Callable[..., Page]


# Of one module: while playwright runs, no asyncio test can.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = subprocess.run([ROOT / "scripts/browser"], check=True, stdout=subprocess.PIPE, text=True)
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, bellhop: Bellhop) -> Iterator[BrowserContext]:  # noqa: F811
    """A browser that knows nobody. A test fails when its pages broke a rule of the CSP or threw an error."""
    with chromium.new_context(base_url=bellhop.http_url) as context:
        complaints: list[str] = []
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
        yield context
        assert complaints == []


@pytest.fixture
def sign_in(context: BrowserContext) -> SignIn:
    """Sign in through the page as `name`, in this test's browser or another; returns at the connected inbox."""

    def sign_in(name: str = "alice", *, at: BrowserContext = context) -> Page:
        person(name)
        page = at.new_page()
        page.goto("/")
        fill(page, name=name, password=name)
        expect(page.locator("#state")).to_have_text("connected")
        return page

    return sign_in


def person(name: str, *, is_staff: bool = False) -> None:
    """Somebody who can sign in where passwords are hashed as in production."""
    password = PBKDF2PasswordHasher().encode(name, "salt", iterations=1)
    made = factories.user(name, is_staff=is_staff, is_superuser=is_staff)
    type(made).objects.filter(pk=made.pk).update(password=password)


def fill(page: Page, *, name: str, password: str) -> None:
    """Fill in the sign-in form and send it."""
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
