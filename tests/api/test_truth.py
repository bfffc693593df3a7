"""The description of the API held against the API: what it promises is answered, what it forbids is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.jobs.models import Job
from tests.factories import make_asset, make_job, make_project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("weights_here")]

EXAMPLES = 15
ANSWERED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
SCHEMA.app = WSGIHandler()
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]
TAKES_NOTHING = ("GET /v1/pricing",)
"""Neither a key nor a parameter: there is nothing that could be wrong."""

fast = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """A request must not close the connection that the test's transaction is on."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def key(alice: User, settings: Any) -> dict[str, str]:
    settings.API_READS_PER_MINUTE = settings.API_WRITES_PER_MINUTE = 1_000_000
    return {"X-Api-Key": issue_key(alice, name="any")[1]}


def real_ids(user: User) -> dict[str, list[str]]:
    """By the word in an address: things of the caller's own that can be asked for."""
    project = make_project(user, external_id="film")
    jobs = [make_job(user, status=status, project=project) for status in Job.Status.values]
    return {"jobs": [str(job.pk) for job in jobs], "projects": [str(project.pk)], "assets": [str(make_asset(user).pk)]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_what_the_description_allows_is_answered_as_it_says(operation: Any, alice: User, key: dict[str, str]) -> None:
    ids = real_ids(alice)

    @fast
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), data=st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        noun = operation.path.split("/")[2]
        if case.path_parameters and ids.get(noun):
            case.path_parameters["id"] = data.draw(st.sampled_from(ids[noun]))
        if isinstance(case.body, dict) and {"video_url", "video_id"} & set(case.body):
            case.body.pop("video_url", None)
            case.body["video_id"] = ids["assets"][0]
        case.call_and_validate(headers=key, checks=ANSWERED)

    ask()


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.label not in TAKES_NOTHING],
    ids=lambda operation: operation.label,
)
def test_what_the_description_forbids_is_refused(operation: Any, key: dict[str, str]) -> None:
    @fast
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=key, checks=[*ANSWERED, negative_data_rejection])

    ask()
