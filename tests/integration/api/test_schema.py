"""The API's description: valid OpenAPI 3.1, and true (schemathesis tries what it says)."""

import json
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.checks import unsupported_method

from core.models import User
from core.wsgi import application
from tests import factories
from tests.factories import accept, submission


def description() -> dict[str, Any]:
    answer = Client().get("/api/v1/schema", headers={"Accept": "application/json"})
    body: dict[str, Any] = json.loads(answer.content)
    return body


OPERATIONS = {
    "/api/v1/auth/token": {"post"},
    "/api/v1/auth/logout": {"post"},
    "/api/v1/auth/logout-all": {"post"},
    "/api/v1/auth/ws-ticket": {"post"},
    "/api/v1/events": {"get", "post"},
    "/api/v1/events/batch": {"post"},
    "/api/v1/events/{id}": {"get"},
    "/api/v1/notifications": {"get"},
    "/api/v1/notifications/bulk": {"post"},
    "/api/v1/notifications/counts": {"get"},
    "/api/v1/notifications/{id}": {"get", "patch", "delete"},
}


def test_every_operation_is_described() -> None:
    found = {path: set(item) for path, item in description()["paths"].items()}
    assert {path: found.get(path) for path in OPERATIONS} == OPERATIONS


def test_it_is_openapi_3_1_and_all_its_references_lead_somewhere() -> None:
    body = description()
    assert body["openapi"].startswith("3.1.")
    for schema in body["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [*([node["$ref"]] if "$ref" in node else []), *(r for v in node.values() for r in references(v))]
        return [r for v in node for r in references(v)] if isinstance(node, list) else []

    names = {ref.removeprefix("#/components/schemas/") for ref in references(body)}
    assert names <= set(body["components"]["schemas"])
    assert "Submission" in names


schema = schemathesis.pytest.from_fixture("api")


@pytest.fixture
def api(committed: None) -> Any:
    return schemathesis.openapi.from_wsgi("/api/v1/schema", application)


@pytest.fixture
def tokens(committed: None, producer: User, alice: User) -> dict[str, str]:
    """One who may do all that the API offers, with lines to do it to."""
    accept(producer, *[submission("producer", title=str(n)) for n in range(3)])
    factories.process()
    return {"Authorization": f"Bearer {factories.token(producer)}"}


@schema.exclude(path_regex="logout|/schema").parametrize()
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
)
def test_it_is_true(case: Any, tokens: dict[str, str]) -> None:
    # DRF asks who calls before it asks which method, so a method that is not there may be 401 for a stranger.
    case.call_and_validate(headers=tokens, excluded_checks=[unsupported_method])
