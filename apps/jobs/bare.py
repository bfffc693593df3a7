"""A database that was not migrated yet, told in a sentence: its traceback, again and again, says nothing to anybody."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection

from apps.jobs.models import Job


def log_trouble(log: logging.Logger, what: str) -> None:
    """Inside an `except DatabaseError`: with the traceback, unless the tables are not there at all."""
    if has_tables():
        log.exception(what)
    else:
        log.error("%s: the database has no tables yet. Apply the migrations: manage.py migrate", what)


def has_tables() -> bool:
    """True also of a database that cannot be asked: then it is something else."""
    try:
        return Job._meta.db_table in connection.introspection.table_names()
    except DatabaseError:
        return True
