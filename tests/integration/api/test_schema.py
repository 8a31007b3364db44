"""The API's description: valid OpenAPI 3.1, and true (schemathesis tries what it says)."""

import json
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

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
    "/api/v1/events/preview": {"post"},
    "/api/v1/events/retract": {"post"},
    "/api/v1/notifications": {"get", "post"},
    "/api/v1/notifications/bulk": {"post"},
    "/api/v1/notifications/counts": {"get"},
    "/api/v1/notifications/{id}": {"get", "patch", "delete"},
    "/api/v1/preferences": {"get", "put", "patch", "delete"},
    "/api/v1/settings": {"get", "post"},
    "/api/v1/settings/effective": {"get"},
    "/api/v1/schedules": {"get", "post"},
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


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for path, methods in OPERATIONS.items() for method in sorted(methods) if "logout" not in path],
)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
def test_it_is_true(producer: User, method: str, path: str, mode: GenerationMode) -> None:
    accept(producer, *[submission("producer", title=str(n)) for n in range(3)])
    factories.process()
    headers = {"Authorization": f"Bearer {factories.token(producer)}"}
    operation = schemathesis.openapi.from_wsgi("/api/v1/schema", application)[path][method]

    # Not every rule can be said in a description: "exactly one of these three", a type that must exist.
    excluded = [positive_data_acceptance]
    if path.endswith("/batch"):
        excluded.append(negative_data_rejection)  # 202 by design: each event of a batch has an answer of its own

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def what_it_says_holds(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    what_it_says_holds()
