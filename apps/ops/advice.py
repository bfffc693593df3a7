"""What an operator can do about the error that ended a command: to them a traceback says nothing."""

from __future__ import annotations

from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from apps.errors import Unavailable


def about(error: BaseException) -> str:
    """One sentence or two; empty when it is ours to mend, and then its traceback is worth having."""
    if isinstance(error, Unavailable):
        return f"{error.message} manage.py doctor says which part it is."
    if isinstance(error, RedisError):
        return "The queue server does not answer. Check REDIS_URL, and that the server runs (manage.py doctor)."
    return about_database(error) if isinstance(error, DatabaseError) else ""


def about_database(error: DatabaseError) -> str:
    away = f"The database ({connection.vendor}) does not answer. Check DATABASE_URL, and that its server runs."
    # PostgreSQL gives what it refuses a number; without one nobody was reached, and to ask again takes ten seconds.
    is_answer = connection.vendor == "sqlite" or getattr(error.__cause__, "sqlstate", None)
    if isinstance(error, OperationalError) and not is_answer:
        return away
    try:
        behind = missing_migrations()
    except DatabaseError:
        return away
    return f"The database lacks {behind} migrations. Apply them first: manage.py migrate." if behind else ""


def missing_migrations() -> int:
    """How many this version has that the database has not."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
