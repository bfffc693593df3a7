"""Indexes on large tables, built while the site goes on writing to them, where the database can do that."""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

INVALID = "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = %s AND NOT indisvalid"


class AddIndex(migrations.AddIndex):
    """In a migration with `atomic = False`. PostgreSQL keeps nobody waiting; may be run again after a crash."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            self._drop_invalid(schema_editor)
            schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.remove_index(model, self.index, concurrently=True)

    def _drop_invalid(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        """What is left of a build that was broken off: no query uses it, but its name is taken."""
        name = self.index.name
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(INVALID, [name])
            if cursor.fetchone():
                cursor.execute(f"DROP INDEX CONCURRENTLY {schema_editor.quote_name(name)}")


class DropFieldIndex(migrations.AlterField):
    """`db_index` becomes False. Unlike Django's own it keeps nobody waiting: constraints are not made anew."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return
        column, kept = model._meta.get_field(self.name).column, {index.name for index in model._meta.indexes}
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, model._meta.db_table)
        beside = "CONCURRENTLY " if connection.vendor == "postgresql" else ""
        for name, facts in found.items():
            if facts["index"] and not facts["unique"] and facts["columns"] == [column] and name not in kept:
                schema_editor.execute(f"DROP INDEX {beside}{schema_editor.quote_name(name)}")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            for statement in schema_editor._field_indexes_sql(model, model._meta.get_field(self.name)):
                schema_editor.execute(statement)
