"""Signing in and out, and the pages that others made: do they work under our CSP and without collectstatic?"""

from playwright.sync_api import BrowserContext, expect

from tests import rest
from tests.browser.conftest import SignIn, fill, person
from tests.processes import Bellhop

WRONG = "Please enter a correct username and password. Note that both fields may be case-sensitive."


def test_a_wrong_name_and_a_wrong_password_look_the_same(context: BrowserContext) -> None:
    person("alice")
    page = context.new_page()
    page.goto("/login/")
    for name in ("alice", "nobody"):
        fill(page, name=name, password="wrong")
        expect(page.get_by_role("alert")).to_have_text(WRONG)
    assert page.locator("body").inner_text().count("demo") == 0


def test_guesses_on_the_page_and_at_the_api_count_together(bellhop: Bellhop, context: BrowserContext) -> None:
    person("alice")
    guess = {"username": "alice", "password": "wrong"}
    page = context.new_page()
    page.goto("/login/")
    # Ten a minute are allowed; the minute may turn over once in between.
    statuses = [rest.call(bellhop, "POST", "/auth/token", guess).status for _ in range(20)]
    assert set(statuses) == {401, 429}
    fill(page, name="alice", password="alice")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts. Try again in")
    assert context.request.get("/", max_redirects=0).status == 302


def test_signing_out_in_one_tab_stops_the_other(context: BrowserContext, sign_in: SignIn) -> None:
    page = sign_in()
    other = context.new_page()
    other.goto("/")
    expect(other.locator("#state")).to_have_text("connected")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title("Sign in · Bellhop")
    expect(other.locator("#state")).to_have_text("stopped. You are signed out.")
    other.get_by_role("link", name="Reload").click()
    expect(other).to_have_title("Sign in · Bellhop")


def test_somebody_else_signing_in_ends_the_first_ones_sockets(context: BrowserContext, sign_in: SignIn) -> None:
    page = sign_in("alice")
    person("bob")
    other = context.new_page()
    other.goto("/login/")
    fill(other, name="bob", password="bob")
    expect(other.get_by_text("Signed in as bob")).to_be_visible()
    expect(page.locator("#state")).to_have_text("stopped. You are signed out.")


def test_the_admin_uses_the_same_sign_in(context: BrowserContext) -> None:
    person("alice")
    person("admin", is_staff=True)
    page = context.new_page()
    page.goto("/admin/core/user/")
    fill(page, name="alice", password="alice")
    expect(page.get_by_text("You are signed in as alice, who may not open that page.")).to_be_visible()
    fill(page, name="admin", password="admin")
    expect(page).to_have_url("/admin/core/user/")
    expect(page.get_by_role("link", name="alice", exact=True)).to_be_visible()


def test_a_foreign_next_is_not_followed(context: BrowserContext) -> None:
    person("alice")
    page = context.new_page()
    page.goto("/login/?next=https://evil.example/")
    fill(page, name="alice", password="alice")
    expect(page).to_have_url("/")
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()


def test_the_api_page_renders(context: BrowserContext) -> None:
    page = context.new_page()
    answer = page.goto("/api/v1/docs")
    assert answer is not None
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    expect(page.get_by_text("Accept one event", exact=True)).to_be_visible()


def test_every_file_a_page_asks_for_is_there(context: BrowserContext, sign_in: SignIn) -> None:
    person("admin", is_staff=True)
    missing: list[str] = []
    context.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
    page = context.new_page()
    page.goto("/login/?next=/admin/")
    fill(page, name="admin", password="admin")
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    for path in ("/", "/api/v1/docs", "/admin/"):
        page.goto(path, wait_until="networkidle" if path != "/" else "load")
    assert missing == []
