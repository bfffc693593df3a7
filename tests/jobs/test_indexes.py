"""What each written job pays for: indexes that some list or search goes by, and none twice."""

from __future__ import annotations

import importlib
import re

from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.engine import Progress
from apps.indexes import DropFieldIndex
from apps.jobs import attempts
from apps.jobs.models import Job
from tests.factories import make_job

TABLE = Job._meta.db_table


def indexes() -> dict[str, list[str]]:
    """Each index of the jobs' table by its columns, those of constraints included."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, TABLE)
    return {name: facts["columns"] for name, facts in found.items() if facts["index"] or facts["unique"]}


def test_what_a_worker_writes_with_each_tick_is_in_no_index(alice: User) -> None:
    job = make_job(alice, status="processing")
    with CaptureQueriesContext(connection) as captured:
        assert attempts.tick(
            job, Progress(stage="processing", percent=5, frames_done=1, frames_total=20, eta_seconds=9)
        )
    written = {column for row in captured for column in re.findall(r'"(\w+)" = ', row["sql"].split(" WHERE ")[0])}

    assert {"progress", "lease_until", "stage"} <= written
    assert not written & {column for columns in indexes().values() for column in columns}
    conditions = " ".join(str(index.condition) for index in Job._meta.indexes)
    assert not [column for column in written if f"'{column}'" in conditions]


def test_no_index_only_begins_another_one(db: None) -> None:
    partial = {index.name for index in Job._meta.indexes if index.condition}
    whole = {name: columns for name, columns in indexes().items() if name not in partial}

    begun = [
        (name, longer) for name, columns in whole.items() for longer, others in whole.items()
        if name != longer and columns == others[: len(columns)]
    ]  # fmt: skip

    assert begun == []


def test_an_index_that_was_dropped_with_its_field_comes_back(transactional_db: None) -> None:
    """As `migrate jobs 0013` has it made again, for the version before."""
    migration = importlib.import_module("apps.jobs.migrations.0016_fewer_indexes").Migration
    (drop,) = [one for one in migration.operations if isinstance(one, DropFieldIndex) and one.name == "owner"]
    now = ProjectState.from_apps(apps)
    before = now.clone()
    field = before.models["jobs", "job"].fields["owner"].clone()
    field.db_index = True
    before.alter_field("jobs", "job", "owner", field, preserve_default=True)

    with connection.schema_editor(atomic=False) as editor:
        drop.database_backwards("jobs", editor, now, before)
    came_back = [name for name, columns in indexes().items() if columns == ["owner_id"]]
    with connection.schema_editor(atomic=False) as editor:
        drop.database_forwards("jobs", editor, before, now)

    assert len(came_back) == 1
    assert [name for name, columns in indexes().items() if columns == ["owner_id"]] == []
