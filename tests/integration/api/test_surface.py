"""What holds for every address: one shape of errors, headers, ids, health, and the API's own description."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings

from core.models import User
from notifications.api import urls
from tests.api import Caller, error
from tests.integration.conftest import BlackHole
from workers import api as engine_api

API = sorted(
    "/" + str(at.pattern).replace("<uuid:id>", "0194d2a0-0000-7000-8000-000000000000").replace("<str:id>", "1")
    for at in (*urls.urlpatterns, *engine_api.urlpatterns)
)


def test_there_are_addresses_to_look_at() -> None:
    assert "/notifications/bulk" in API
    assert len(API) >= 11


@pytest.mark.parametrize("path", API)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_address_answers_a_stranger_without_the_one_shape(stranger: Caller, path: str, method: str) -> None:
    answer = stranger(method, path, {})
    if path == "/auth/token":
        assert error(answer) == ((400, "invalid") if method == "POST" else (405, "method_not_allowed"))
    else:
        assert error(answer) in {(401, "not_authenticated"), (405, "method_not_allowed")}


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/events/", "/events/not-a-uuid", "/notifications/1/2", "/events/%00"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_has_the_one_shape_too(as_alice: Caller, path: str, method: str) -> None:
    assert error(as_alice(method, path, {})) == (404, "not_found")


def test_a_bug_is_500_in_the_one_shape_and_tells_nothing(as_alice: Caller) -> None:
    with override_settings(RATE_API="no rate at all"):  # core/checks.py refuses to start with it
        answer = as_alice("GET", "/notifications")
    assert error(answer) == (500, "internal")
    assert "rate" not in answer.content.decode()


def test_other_representations_are_not_offered(as_alice: Caller) -> None:
    assert error(as_alice("GET", "/notifications", Accept="text/html")) == (406, "not_acceptable")
    for accepted in ("application/json", "*/*", "application/*", "text/html, */*;q=0.1"):
        answer = as_alice("GET", "/notifications", Accept=accepted)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("id", ["12345678", "a" * 64, "trace-0123.4567:89_A"])
def test_a_request_id_comes_back(as_alice: Caller, id: str) -> None:
    assert as_alice("GET", "/notifications", X_Request_ID=id)["X-Request-ID"] == id


@pytest.mark.parametrize("id", ["", "short", "a" * 65, "with space", "newline\n12345", "ünïcödé12", "<script>12345"])
def test_a_request_id_that_is_not_well_formed_is_replaced(as_alice: Caller, id: str) -> None:
    given = as_alice("GET", "/notifications", X_Request_ID=id)["X-Request-ID"]
    assert given != id
    assert len(given) == 32


def test_even_an_error_has_a_request_id(stranger: Caller) -> None:
    assert stranger("GET", "/nothing", X_Request_ID="trace-0123456789")["X-Request-ID"] == "trace-0123456789"


@pytest.mark.parametrize("path", ["/notifications", "/nothing", "/schema"])
def test_security_headers(as_alice: Caller, path: str) -> None:
    headers = as_alice("GET", path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


class TestCORS:
    def preflight(self, origin: str, *, path: str = "/api/v1/events") -> Any:
        return Client().options(
            path,
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
            },
        )

    def test_a_page_of_ours_may_call(self, stranger: Caller) -> None:
        ours = settings.ALLOWED_ORIGINS[0]
        answer = self.preflight(ours)
        assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, ours)
        assert answer["Access-Control-Allow-Credentials"] == "true"
        assert {"authorization", "content-type", "idempotency-key"} <= {
            name.strip() for name in answer["Access-Control-Allow-Headers"].split(",")
        }
        assert "POST" in answer["Access-Control-Allow-Methods"]
        read = stranger("GET", "/notifications", Origin=ours)
        assert (read.status_code, read["Access-Control-Allow-Origin"]) == (401, ours)
        assert "retry-after" in read["Access-Control-Expose-Headers"]

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://localhost"])
    def test_another_page_may_not(self, stranger: Caller, origin: str) -> None:
        assert "Access-Control-Allow-Origin" not in self.preflight(origin)
        assert "Access-Control-Allow-Origin" not in stranger("GET", "/notifications", Origin=origin)

    def test_nothing_but_the_api_is_shared(self, committed: None) -> None:
        assert "Access-Control-Allow-Origin" not in self.preflight(settings.ALLOWED_ORIGINS[0], path="/admin/login/")


class TestHealth:
    def test_alive_says_nothing_of_others(self, committed: None, dead_redis: BlackHole) -> None:
        answer = Client().get("/health/live")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert dead_redis.callers() == 0
        assert "no-store" in answer["Cache-Control"]

    def test_ready(self, committed: None) -> None:
        answer = Client().get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": True, "redis": True})

    def test_without_redis_it_is_degraded_and_still_takes_events(self, committed: None, dead_redis: BlackHole) -> None:
        answer = Client().get("/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded", "database": True, "redis": False})

    def test_without_postgresql_it_is_not_ready(self, committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
        connection.close()
        with monkeypatch.context() as away:
            away.setitem(connection.settings_dict, "HOST", "/nowhere")
            answer = Client().get("/health/ready")
            assert (answer.status_code, answer.json()) == (
                503,
                {"status": "unavailable", "database": False, "redis": True},
            )
            assert Client().get("/health/live").status_code == 200
        connection.close()
        assert Client().get("/health/ready").status_code == 200

    def test_an_api_without_postgresql_says_so_in_the_one_shape(
        self, as_alice: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection.close()
        with monkeypatch.context() as away:
            away.setitem(connection.settings_dict, "HOST", "/nowhere")
            assert error(as_alice("GET", "/notifications"))[0] in (500, 503)
        connection.close()


def test_the_pages(committed: None, alice: User) -> None:
    assert Client().get("/api/v1/docs").status_code == 200
    answer = Client().get("/api/v1/schema", headers={"Accept": "application/json"})
    assert json.loads(answer.content)["openapi"].startswith("3.1")
