"""docs/api-calls.md, pasted from top to bottom in each language against a live site; only the model is the keyer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.jobs.models import Job
from apps.webhooks.models import Endpoint
from tests import clips
from tests.api.test_schema import PATHS
from tests.conftest import missing
from tests.fakes import Receiver, webhook_receiver
from tests.live import KEYER, House, open_keyer_door, running_house

PAGE = (settings.BASE_DIR / "docs" / "api-calls.md").read_text(encoding="utf-8")
PROGRAMS = {"sh": "bash", "python": sys.executable, "js": "node"}


def code(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def outside() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(django_db_setup: None, live_server: LiveServer, outside: Receiver) -> Iterator[House]:
    with running_house(live_server.url, egress_allow=outside.target) as running:
        yield running


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_every_call_works_when_pasted(
    house: House, outside: Receiver, live_server: LiveServer, alice: User, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "SITE_URL", live_server.url)
    monkeypatch.setattr(settings, "API_WRITES_PER_MINUTE", 1000)
    open_keyer_door(monkeypatch)
    told = {"BASE": live_server.url, "KEY": issue_key(alice, name="pasted")[1], "HOOK": outside.url}
    here = [language for language, program in PROGRAMS.items() if shutil.which(program)]

    with house.workers():
        for language in here:
            paste(language, tmp_path / language, told)

    assert Job.objects.filter(options__preview_duration=1, output_format="gif", charged=0).count() == len(here)
    assert Job.objects.filter(status="canceled", retried_from__isnull=False).count() == len(here)
    assert Endpoint.objects.filter(user=alice, deleted_at=None).count() == 0
    if here != list(PROGRAMS):
        missing("node, to paste the JavaScript into,")


def paste(language: str, folder: Path, told: dict[str, str]) -> None:
    demo = folder / "docs" / "demo"
    demo.mkdir(parents=True)
    # Named like the page's, and a hundredth of the work.
    clips.make_clip(demo / "demo.mp4", frames=30, sound_seconds=1.2)
    clips.make_picture(demo / "astronaut.png")
    pasted = folder / ("pasted.mjs" if language == "js" else "pasted")
    pasted.write_text(code(language).replace("light", KEYER), encoding="utf-8")

    done = subprocess.run(
        [PROGRAMS[language], pasted.name], cwd=folder, env={"PATH": os.environ["PATH"], **told}, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, f"{language}: {done.stdout}\n{done.stderr}"
    assert "completed" in done.stdout
    assert (folder / "cutout.webm").read_bytes().startswith(b"\x1a\x45\xdf\xa3")


@pytest.mark.parametrize("language", PROGRAMS)
def test_every_call_is_on_the_page_in_every_language(language: str) -> None:
    """By its address, whatever it is filled in with."""
    filled = re.sub(r"\$\{?[A-Za-z._]+\}?|\{[^{}\n]*\}", "*", code(language))

    absent = [
        path
        for path in PATHS
        if (wanted := re.sub(r"\{[a-z_]+\}", "*", path)) not in filled
        # The programs keep an endpoint's address in a variable.
        and f"*{wanted.removeprefix('/v1/webhooks/*')}" not in filled
    ]

    assert absent == []
