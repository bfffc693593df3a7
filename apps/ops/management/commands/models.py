"""`manage.py models`: the networks, where they come from, under which licence, and whether they are here."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.engine.matting import weights
from apps.engine.options import MODELS
from apps.ops import installer


class Command(BaseCommand):
    help = "List the networks, or install some: models install [NAME…], a network, a model, or all."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("list", "install"), default="list")
        parser.add_argument("names", nargs="*", metavar="NAME", help="Networks, models or all; none: all in use.")
        parser.add_argument("--from-url", action="store_true", help="Also try the authors' release files.")
        parser.add_argument("--keep-trying", action="store_true", help="Until everything is installed.")
        parser.add_argument("--json", action="store_true", help="Print the list as one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "install":
            self.install(options["names"], from_url=options["from_url"], keep_trying=options["keep_trying"])
        elif options["names"]:
            raise CommandError("Names are for installing: models install NAME…")
        if options["json"]:
            self.stdout.write(json.dumps(description()))
        elif options["action"] == "list":
            self.stdout.write(table(description()))

    def install(self, names: list[str], *, from_url: bool, keep_trying: bool) -> None:
        # A SIGTERM becomes an exception, so that pip or npm are ended on the way out.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            wanted = installer.resolve(names)
        except ValueError as error:
            raise CommandError(str(error)) from None
        failed = installer.install(wanted, from_url=from_url, keep_trying=keep_trying, say=self.say)
        if failed:
            raise CommandError(
                f"Not installed: {', '.join(failed)}. Why is said above; then run it again. Without a network put the "
                "files into MODEL_SOURCE_DIR (docs/operations.md)."
            )

    def say(self, line: str) -> None:
        self.stderr.write(line, lambda text: text)
        self.stderr.flush()


def description() -> dict[str, Any]:
    """Everything the table shows, for programs."""
    here = {row.name: row for row in weights.status(Path(settings.MODELS_DIR))}
    models = weights.model_status(Path(settings.MODELS_DIR), permissive=installer.is_permissive())
    used = {name for model in MODELS for name in weights.needed_by(model, permissive=installer.is_permissive())}
    unused = f"not used with MODEL_LICENCES={settings.MODEL_LICENCES}"
    return {
        "models": {
            name: {
                "installed": models[name].installed,
                "networks": list(weights.needed_by(name, permissive=installer.is_permissive())),
                "missing": list(models[name].missing),
                "installing": models[name].installing,
            }
            for name in MODELS
        },
        "networks": [
            {
                "name": network.name,
                "title": network.title,
                "installed": here[network.name].installed,
                "is_outdated": here[network.name].is_outdated,
                "why_not": here[network.name].why_not
                if here[network.name].installed or network.name in used
                else unused,
                "licence": network.licence,
                "licence_note": network.licence_note,
                "source": network.source,
                "version": network.version,
                "download_bytes": network.size,
                "bytes": here[network.name].bytes,
                "sha256": here[network.name].sha256,
                "self_test": here[network.name].self_test,
            }
            for network in weights.networks().values()
        ],
    }


def table(found: dict[str, Any]) -> str:
    rows = [("network", "state", "licence", "version", "download", "on disk", "source")]
    for row in found["networks"]:
        state = "outdated" if row["is_outdated"] else "installed" if row["installed"] else row["why_not"]
        on_disk = f"{row['bytes'] / 1e6:.0f} MB" if row["installed"] else "–"
        size = f"{row['download_bytes'] / 1e6:.0f} MB"
        rows.append((row["name"], state, row["licence"], row["version"], size, on_disk, row["source"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    for name, model in found["models"].items():
        state = "ready" if model["installed"] else f"not ready, missing {', '.join(model['missing'])}"
        if model["installing"]:
            state += f" ({model['installing']})"
        lines.append(f"{name:<9} {state}; uses {', '.join(model['networks'])}")
    notes = [f"{row['name']}: {row['licence_note']}" for row in found["networks"] if row["licence_note"]]
    return "\n".join([*lines, "", *notes])
