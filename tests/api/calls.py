"""Calls to /v1/jobs and what a refusal says."""

from __future__ import annotations

from tests.api.conftest import JSON


def post(client, path: str, body: object = None, **headers: str):
    return client.post(f"/v1/jobs{path}", {} if body is None else body, content_type=JSON, headers=headers)


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]
