"""The API describes itself without gaps, and the page that shows it works offline under the site's CSP."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command
from playwright.sync_api import sync_playwright

from apps.api.docs import GUIDES
from apps.api.errors import MEANINGS

PATHS = {
    "/v1/credits": {"get"},
    "/v1/usage/summary": {"get"},
    "/v1/usage/events": {"get"},
    "/v1/jobs": {"get", "post"},
    "/v1/jobs/estimate": {"post"},
    "/v1/jobs/{id}": {"get", "delete"},
    "/v1/jobs/{id}/cancel": {"post"},
    "/v1/jobs/{id}/events": {"get"},
    "/v1/jobs/{id}/quality": {"get"},
    "/v1/jobs/{id}/retry": {"post"},
    "/v1/jobs/{id}/start": {"post"},
    "/v1/pricing": {"get"},
    "/v1/projects": {"get", "post"},
    "/v1/projects/{id}": {"get", "patch", "delete"},
    "/v1/uploads": {"post"},
    "/v1/uploads/{id}": {"get", "delete"},
    "/v1/uploads/{id}/complete": {"post"},
    "/v1/uploads/{id}/parts": {"post"},
    "/v1/webhooks": {"get", "post"},
    "/v1/webhooks/deliveries": {"get"},
    "/v1/webhooks/deliveries/{id}": {"get"},
    "/v1/webhooks/deliveries/{id}/replay": {"post"},
    "/v1/webhooks/{id}": {"get", "patch", "delete"},
    "/v1/webhooks/{id}/deliveries": {"get"},
    "/v1/webhooks/{id}/deliveries/{delivery_id}": {"get"},
    "/v1/webhooks/{id}/deliveries/{delivery_id}/replay": {"post"},
    "/v1/webhooks/{id}/rotate": {"post"},
    "/v1/webhooks/{id}/test": {"post"},
}
CLASHES = {
    ("/v1/jobs/{id}/quality", "get"),
    ("/v1/projects/{id}", "patch"),
    ("/v1/projects/{id}", "delete"),
    ("/v1/uploads/{id}", "delete"),
}
"""What may find its thing in another state, besides every POST."""


@pytest.fixture
def schema(anonymous, db) -> dict:
    response = anonymous.get("/v1/openapi.json")
    assert response["Content-Type"] == "application/json"
    return response.json()


def test_the_schema_is_made_without_a_warning_and_is_valid(tmp_path):
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yaml"))


def test_the_schema_holds_what_exists_and_nothing_else(schema):
    assert schema["openapi"].startswith("3.1")
    assert {path: set(operations) for path, operations in schema["paths"].items()} == PATHS


def test_every_operation_says_which_errors_it_answers(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            expected = {"422", "429", "500", "503"}
            expected |= set() if path == "/v1/pricing" else {"401", "403"}
            expected |= {"404"} if "{id}" in path else set()
            expected |= {"409"} if (path, method) in CLASHES else set()
            expected |= {"400", "402", "409", "413", "415"} if method == "post" else set()
            expected |= {"400", "413", "415"} if method == "patch" else set()
            assert {code for code in answers if code >= "400"} == expected
            for code in expected:
                reference = answers[code]["content"]["application/json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/Error"
            names = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert ("Idempotency-Key" in names) == (method == "post")


def test_either_header_is_enough(schema):
    assert schema["paths"]["/v1/jobs"]["get"]["security"] == [{"apiKey": []}, {"bearer": []}]
    assert schema["components"]["securitySchemes"]["apiKey"] == {"type": "apiKey", "in": "header", "name": "X-Api-Key"}


def test_every_code_is_explained_where_doc_url_points(schema):
    for code, meaning in MEANINGS.items():
        assert f"| `{code}` |" in schema["info"]["description"]
        assert meaning in schema["info"]["description"]


def test_the_schema_takes_no_notice_of_accept(anonymous, db):
    assert anonymous.get("/v1/openapi.json", headers={"accept": "text/html"}).status_code == 200


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_docs_page_shows_every_operation_offline_under_our_csp(live_server, chromium, settings):
    settings.ALLOWED_HOSTS = ["*"]
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{live_server.url}/docs")
        page.locator(".opblock").first.wait_for()
        shown = page.locator(".opblock").count()
        page.locator("#operations-jobs-jobs_create .opblock-summary-control").click()
        page.locator("#operations-jobs-jobs_create .opblock-body").wait_for()
        browser.close()

    assert shown == sum(len(methods) for methods in PATHS.values())
    assert [line for line in said if line.startswith(("error", "warning"))] == []
    assert [url for url in asked if not url.startswith((live_server.url, "data:"))] == []


def test_the_docs_page_leads_to_the_guides_which_name_this_site(anonymous, db, settings):
    settings.SITE_URL = "https://cutouts.example.org"

    page = anonymous.get("/docs").content.decode()
    there = {path: anonymous.get(path) for path in re.findall(r'href="(/docs/[^"]+)"', page)}

    assert set(there) == {f"/docs/{name}.md" for name in GUIDES}
    assert {answer["Content-Type"] for answer in there.values()} == {"text/plain; charset=utf-8"}
    calls = there["/docs/api-calls.md"].content.decode()
    assert "BASE=${BASE:-https://cutouts.example.org}" in calls
    assert "127.0.0.1" not in calls
    assert "| there | here |" in there["/docs/moving.md"].content.decode()


def test_a_guide_leads_only_to_guides(settings):
    """They stand side by side on a site too, so their links work there as they do in the repository."""
    for name in GUIDES:
        text = (settings.BASE_DIR / "docs" / f"{name}.md").read_text(encoding="utf-8")
        linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
        assert linked <= {f"{guide}.md" for guide in GUIDES}, name


def test_a_deleted_project_is_answered_as_described(schema):
    """A DELETE is described as 204 unless its view says otherwise."""
    assert set(schema["paths"]["/v1/projects/{id}"]["delete"]["responses"]) >= {"200", "409"}
    assert "204" not in schema["paths"]["/v1/projects/{id}"]["delete"]["responses"]
