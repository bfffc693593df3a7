"""How settings are read: from the environment, from files it names, and from what the installation keeps itself."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent


class SecretFiles(FileAwareMapping):  # type: ignore[misc]
    def __getitem__(self, key: str) -> str:
        value = str(super().__getitem__(key))
        return value.rstrip("\r\n") if f"{key}_FILE" in self.env else value


class Environment(environ.FileAwareEnv):  # type: ignore[misc]
    """X_FILE names a file that holds X, for container secrets. A value that makes no sense is named, not guessed at."""

    ENVIRON = SecretFiles()

    def int(self, var: str, default: Any = environ.Env.NOTSET) -> int:
        try:
            return int(super().int(var, default=default))
        except ValueError:
            raise ImproperlyConfigured(f"{var} must be a whole number, not {super().str(var)!r}.") from None

    def some_of(self, var: str, *allowed: str) -> list[str]:
        """A list, in the order given; all of them by default."""
        values = [str(value).strip() for value in super().list(var, default=list(allowed))]
        if not values or len(set(values)) < len(values) or not set(values) <= set(allowed):
            raise ImproperlyConfigured(f"{var} must name some of {', '.join(allowed)}, each once, not {values}.")
        return values

    def one_of(self, var: str, *allowed: str) -> str:
        """The first is the default."""
        value = str(super().str(var, default=allowed[0]))
        if value not in allowed:
            raise ImproperlyConfigured(f"{var} must be {' or '.join(allowed)}, not {value!r}.")
        return value


def kept_secret(path: Path) -> str:
    """The installation's own secret, made on first use and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii")


def embedded_queue(data_dir: Path) -> str:
    """Address of the queue server that `manage.py run` keeps on this folder; empty while it does not run."""
    try:
        return (data_dir / "queue" / "url").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def public_origins(s3: dict[str, Any]) -> list[str]:
    """Where browsers meet the store: under its own name, or the bucket's."""
    endpoint = s3["public_endpoint_url"] or s3["endpoint_url"]
    region = f".{s3['region_name']}" if s3["region_name"] else ""
    scheme, _, host = (endpoint or f"https://s3{region}.amazonaws.com").rstrip("/").partition("://")
    hosts = [host, f"{s3['bucket_name']}.{host}", *([] if endpoint else [f"{s3['bucket_name']}.s3.amazonaws.com"])]
    return [f"{scheme}://{one}" for one in hosts]


def version() -> str:
    """The top heading of the changelog, so there is one place to change it."""
    for line in (BASE_DIR / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            return line[3:].split()[0]
    raise ImproperlyConfigured("CHANGELOG.md has no version heading")
