"""Media in a folder of this machine. It imports no model, because models ask for their storage while they load."""

from __future__ import annotations

from typing import Any

from django.core.files import File
from django.core.files.storage import FileSystemStorage

from apps.errors import needs_disk


class LocalMedia(FileSystemStorage):
    """A folder of this machine's; a disk that is full or away is a refusal that can be tried again, as of any store."""

    def _save(self, name: str, content: File[Any]) -> str:
        with needs_disk():
            return str(super()._save(name, content))  # type: ignore[misc]

    def delete(self, name: str) -> None:
        with needs_disk():
            super().delete(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with needs_disk():
            return super().listdir(path)
