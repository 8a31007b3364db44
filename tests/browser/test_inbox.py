"""The inbox page: live, the same in every tab, back after an outage, and never fooled by text."""

from typing import Any

from playwright.sync_api import Browser, Dialog, Page, expect

from tests import rest
from tests.browser.conftest import SignIn
from tests.processes import Bellhop
from tests.waiting import wait_until


def tell(bellhop: Bellhop, title: str, **fields: Any) -> None:
    """Send alice an event as the producer."""
    body = {"type": "task.assigned", "recipients": {"users": ["alice"]}, "title": title} | fields
    assert rest.call(bellhop, "POST", "/events", body, token=bellhop.token("producer")).status == 202


def titles(page: Page) -> Any:
    return page.locator("#list h2")


def test_a_notification_appears_without_reload(bellhop: Bellhop, sign_in: SignIn) -> None:
    page = sign_in()
    expect(page.get_by_text("Signed in as alice")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    tell(bellhop, "Water the plants", body="All of them", tags=["green"], action_url="/api/v1/docs")
    expect(titles(page)).to_have_text(["Water the plants"])
    expect(page.locator(".text")).to_have_text("All of them")
    expect(page.locator(".tags li")).to_have_text(["green"])
    expect(page.locator(".category")).to_have_text("tasks")
    expect(page.get_by_role("link", name="Open: Water the plants")).to_have_attribute(
        "href", f"{bellhop.http_url}/api/v1/docs"
    )
    expect(page.locator("#unread")).to_have_text("1 unread")
    expect(page).to_have_title("(1) Bellhop")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_hidden()
    tell(bellhop, "Then rest")
    expect(titles(page)).to_have_text(["Then rest", "Water the plants"])


def test_what_one_browser_reads_is_read_in_the_other(bellhop: Bellhop, sign_in: SignIn, chromium: Browser) -> None:
    page = sign_in()
    with chromium.new_context(base_url=bellhop.http_url) as elsewhere:
        elsewhere.add_cookies(page.context.cookies())  # type: ignore[arg-type]  # what it gave is what it takes
        other = elsewhere.new_page()
        other.goto("/")
        for number in range(3):
            tell(bellhop, f"Task {number}")
        expect(page.locator("#unread")).to_have_text("3 unread")
        expect(other.locator("#unread")).to_have_text("3 unread")
        page.get_by_role("button", name="Mark read: Task 1").click()
        expect(other.locator("#unread")).to_have_text("2 unread")
        expect(other.get_by_role("button", name="Mark unread: Task 1")).to_be_visible()
        other.get_by_role("button", name="Archive: Task 2").click()
        expect(titles(page)).to_have_text(["Task 1", "Task 0"])
        expect(page.locator("#unread")).to_have_text("1 unread")
        other.get_by_role("button", name="Mark all read").click()
        expect(page.locator("#unread")).to_be_hidden()
        expect(page.locator("#list .unread")).to_have_count(0)
        expect(page).to_have_title("Bellhop")


def test_text_stays_text_and_traps_are_no_links(bellhop: Bellhop, sign_in: SignIn) -> None:
    page = sign_in()
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    hostile = "<img src=x onerror=alert(1)>"
    tell(bellhop, hostile, body=hostile, tags=[hostile])
    expect(titles(page)).to_have_text([hostile])
    expect(page.locator(".tags li")).to_have_text([hostile])
    assert page.locator("#list img").count() == 0
    assert dialogs == []
    safe = "async (texts) => texts.map((await import('/static/core/links.js')).safeLink)"
    good = ["https://example.com/a", "HTTP://example.com", "/tasks/1"]
    assert page.evaluate(safe, good) == ["https://example.com/a", "http://example.com/", f"{bellhop.http_url}/tasks/1"]
    elsewhere = ["//evil.example", "/\\evil.example", "/\t/evil.example"]
    scripts = ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "tasks/1", ""]
    assert page.evaluate(safe, elsewhere + scripts) == [None] * 8


def test_the_page_catches_up_after_an_outage(bellhop: Bellhop, sign_in: SignIn) -> None:
    page = sign_in()
    tell(bellhop, "Before")
    expect(titles(page)).to_have_text(["Before"])
    bellhop["ws"].kill()
    expect(page.locator("#state")).to_contain_text("offline, catching up")
    page.get_by_role("button", name="Mark read: Before").click()
    expect(page.get_by_role("alert")).to_have_text("Not connected: nothing was changed.")
    tell(bellhop, "Meanwhile")
    token = bellhop.token("alice")
    wait_until(
        lambda: len(rest.call(bellhop, "GET", "/notifications", token=token).body["results"]) == 2,
        what="both in the inbox",
    )
    rest.call(bellhop, "POST", "/notifications/bulk", {"action": "read", "all": True}, token=token)
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    bellhop.start("ws")
    expect(page.locator("#state")).to_have_text("connected")
    expect(titles(page)).to_have_text(["Meanwhile", "Before"])
    expect(page.locator("#list .unread")).to_have_count(0)
    expect(page.locator("#unread")).to_be_hidden()
    assert any('"mode":"delta","from":1,"to":3' in frame for frame in frames)
    tell(bellhop, "After")
    expect(titles(page)).to_have_text(["After", "Meanwhile", "Before"])
    expect(page.locator("#unread")).to_have_text("1 unread")


def test_the_keyboard_keeps_its_place(bellhop: Bellhop, sign_in: SignIn) -> None:
    page = sign_in()
    for number in range(2):
        tell(bellhop, f"Task {number}")
        expect(titles(page)).to_have_count(number + 1)
    page.get_by_role("button", name="Mark read: Task 1").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Mark unread: Task 1")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Archive: Task 0")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Inbox")).to_be_focused()
