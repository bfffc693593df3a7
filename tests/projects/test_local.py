"""A disk that is away or full is told as one, like any other store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import issue_key
from apps.errors import Unavailable
from apps.ops import checks
from apps.projects import media
from tests.api.conftest import clip  # noqa: F401
from tests.factories import make_asset


@contextmanager
def away() -> Iterator[None]:
    """Another file where the folder of media was, as a broken mount may leave it."""
    folder = Path(storages["media"].location)  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name("media-aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def test_a_disk_that_is_away_refuses_for_now_whatever_is_done(alice: User, tmp_path: Path) -> None:
    name = str(make_asset(alice).file.name)
    storage = storages["media"]

    with away():
        with pytest.raises(Unavailable):
            storage.save("assets/new/source", ContentFile(b"x"))
        with pytest.raises(Unavailable):
            storage.delete(name)
        with pytest.raises(Unavailable):
            media.bring(name, tmp_path / "copy")

    assert storage.exists(name)


def test_a_download_from_a_disk_that_is_away_is_a_503(client: Client, alice: User) -> None:
    asset = make_asset(alice)
    address = media.url(str(asset.file.name), filename="clip.mp4", content_type="video/mp4")

    with away():
        answer = client.get(address)

    assert answer.status_code == 503
    assert "does not answer as it should" in answer.text


def test_an_upload_to_a_disk_that_is_away_is_a_503_and_leaves_no_row(
    alice: User,
    clip: Path,  # noqa: F811
) -> None:
    api = Client(headers={"x-api-key": issue_key(alice, name="test")[1]})

    with away(), clip.open("rb") as file:
        answer = api.post("/v1/uploads", {"file": file})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert not alice.assets.exists()


def test_health_sees_that_the_disk_is_away() -> None:
    with away():
        assert not checks.storage().ok

    assert checks.storage().ok


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
def test_a_disk_that_breaks_while_it_is_written_is_told_as_one(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def broken(*_: object) -> None:
        raise OSError(number, "broken")

    monkeypatch.setattr("django.core.files.storage.FileSystemStorage._save", broken)

    with pytest.raises(Unavailable):
        storages["media"].save("assets/new/source", ContentFile(b"x"))
