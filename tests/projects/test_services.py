from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.utils import timezone
from PIL import Image

from apps.accounts.models import User
from apps.engine.errors import EngineFault
from apps.errors import AppError
from apps.projects import pictures, services
from apps.projects.models import Asset, Project, media_storage
from tests import clips
from tests.factories import make_asset, make_project


@pytest.fixture(autouse=True)
def clean_scratch(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.SCRATCH_DIR = tmp_path / "scratch"
    settings.SCRATCH_DIR.mkdir()
    yield
    assert list(settings.SCRATCH_DIR.iterdir()) == []


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return clips.make_clip(tmp_path / "clip.mp4", sound_seconds=0.4).read_bytes()


def files() -> set[str]:
    try:
        return set(media_storage().listdir("assets")[0])
    except FileNotFoundError:
        return set()


def content(asset: Asset) -> bytes:
    with asset.file.open() as file:
        return bytes(file.read())


def refused(user: User, content: bytes, **how: Any) -> AppError:
    """Refused, and neither row nor file is there afterwards."""
    before = files()
    with pytest.raises(AppError) as caught:
        services.create_asset(
            services.default_project(user), SimpleUploadedFile("x.mp4", content), filename="x.mp4", **how
        )
    assert (Asset.objects.count(), files()) == (0, before)
    return caught.value


def picture(format_: str = "PNG", size: tuple[int, int] = (40, 30), **how: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (30, 90, 200)).save(buffer, format_, **how)
    return buffer.getvalue()


def test_an_upload_is_kept_under_our_own_name_with_its_facts(alice: User, clip: bytes) -> None:
    project = make_project(alice)

    asset = services.create_asset(
        project, SimpleUploadedFile("ignored", clip), filename="../../etc/My clip\x00\n–é.MP4"
    )

    asset = Asset.objects.get(pk=asset.pk)
    assert (asset.status, asset.owner, asset.project, asset.kind) == ("ready", alice, project, "video")
    assert (asset.file.name, asset.filename) == (f"assets/{asset.pk}/source", "My clip–é.MP4")
    assert (asset.size, asset.sha256) == (len(clip), hashlib.sha256(clip).hexdigest())
    assert (asset.facts["width"], asset.facts["height"], asset.facts["frames"]) == (96, 64, 12)
    assert asset.facts["duration"] == pytest.approx(0.48, abs=0.05)
    assert content(asset) == clip
    assert services.content_type(asset) == "video/mp4"


def test_a_large_upload_that_lies_on_disk_is_kept_too(alice: User, clip: bytes) -> None:
    upload = TemporaryUploadedFile("clip.mp4", "video/mp4", len(clip), None)
    upload.write(clip)
    upload.seek(0)

    asset = services.create_asset(services.default_project(alice), upload, filename="clip.mp4")

    upload.close()
    assert content(asset) == clip


@pytest.mark.parametrize("content", [b"", b"hello", b"#EXTM3U\nhttp://127.0.0.1/secret.ts\n", b"\x00" * 4096])
def test_what_is_no_video_is_refused_and_not_kept(alice: User, content: bytes) -> None:
    error = refused(alice, content)

    assert (error.code, error.status, error.param) == ("unsupported_media", 422, "file")


def test_a_file_over_the_size_limit_is_refused_whatever_its_sender_said(
    alice: User, clip: bytes, settings: Any
) -> None:
    settings.MAX_UPLOAD_BYTES = len(clip) - 1
    lying = SimpleUploadedFile("x.mp4", clip)
    lying.size = 10

    with pytest.raises(AppError) as caught:
        services.create_asset(services.default_project(alice), lying, filename="x.mp4")

    assert (caught.value.code, caught.value.status, caught.value.param) == ("file_too_large", 413, "file")
    assert refused(alice, clip).code == "file_too_large"


@pytest.mark.parametrize(("limit", "value"), [("MAX_SECONDS", 0.2), ("MAX_SIDE", 90), ("MAX_FPS", 24)])
def test_a_file_over_a_limit_is_refused(alice: User, clip: bytes, settings: Any, limit: str, value: float) -> None:
    setattr(settings, limit, value)

    error = refused(alice, clip)

    assert (error.code, error.status) == ("limit_exceeded", 422)


def test_a_reader_that_crashes_on_a_file_is_the_files_refusal(
    alice: User, clip: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise EngineFault("the engine ended with -11 and no report")

    monkeypatch.setattr(services.child, "probe", crash)

    error = refused(alice, clip)

    assert error.code == "unsupported_media"
    assert "-11" not in error.message
    assert "probe failed" in caplog.text


def test_a_row_that_cannot_be_written_leaves_no_file(alice: User, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    project, before = services.default_project(alice), files()

    def broken(*_: object, **__: object) -> None:
        raise OSError("database gone")

    monkeypatch.setattr(Asset, "save", broken)

    with pytest.raises(OSError, match="database gone"):
        services.create_asset(project, SimpleUploadedFile("x.mp4", clip), filename="x.mp4")

    left = [name for name in files() - before if media_storage().listdir(f"assets/{name}")[1]]
    assert left == []


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_background_picture_is_kept_with_its_size(alice: User, format_: str) -> None:
    upload = SimpleUploadedFile("b", picture(format_))

    asset = services.create_asset(services.default_project(alice), upload, filename="b", kind="background")

    assert (asset.kind, asset.facts["width"], asset.facts["height"]) == ("background", 40, 30)
    assert services.content_type(asset) == f"image/{format_.lower()}"


def test_a_turned_picture_is_told_as_it_is_shown(alice: User) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upload = SimpleUploadedFile("b", picture("JPEG", exif=exif))

    asset = services.create_asset(services.default_project(alice), upload, filename="b", kind="background")

    assert (asset.facts["width"], asset.facts["height"], asset.facts["orientation"]) == (30, 40, 6)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unsupported_media"),
        (b"\x89PNG\r\n\x1a\n", "unsupported_media"),
        (picture()[:-40], "unsupported_media"),
        (picture("GIF"), "unsupported_media"),
        (picture("BMP"), "unsupported_media"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_media"),
    ],
)
def test_what_is_no_whole_picture_is_refused(alice: User, content: bytes, code: str) -> None:
    assert refused(alice, content, kind="background").code == code


def test_a_picture_bomb_is_refused_before_it_is_decoded(
    alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BACKGROUND_PIXELS", 1000)
    assert refused(alice, picture(), kind="background").code == "limit_exceeded"

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert refused(alice, picture(), kind="background").code == "limit_exceeded"

    settings.MAX_BACKGROUND_BYTES = 10
    assert refused(alice, picture(), kind="background").code == "file_too_large"


def test_projects_are_found_by_id_and_external_id_and_made_once(alice: User, charlie: User) -> None:
    default = services.default_project(alice)
    assert services.resolve_project(alice, None) == services.default_project(alice) == default

    made = services.resolve_project(alice, "shop-7")
    assert (made.name, made.external_id, made.is_default) == ("shop-7", "shop-7", False)
    assert services.resolve_project(alice, "shop-7") == made
    assert services.resolve_project(alice, str(made.pk)) == made

    his = services.resolve_project(charlie, "shop-7")
    assert his != made
    # A stranger's project id opens nothing: it is a new external_id like any other text.
    guessed = services.resolve_project(charlie, str(made.pk))
    assert (guessed.owner, guessed.external_id) == (charlie, str(made.pk))
    assert Project.objects.filter(owner=alice).count() == 2


def test_the_id_of_a_deleted_project_is_not_a_new_name(alice: User, charlie: User) -> None:
    gone = services.resolve_project(alice, "shop-7")
    Project.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())

    with pytest.raises(AppError) as refused:
        services.resolve_project(alice, str(gone.pk))

    assert (refused.value.code, refused.value.status, refused.value.param) == ("invalid_request", 422, "project")
    assert not alice.projects.filter(external_id=str(gone.pk)).exists()
    # Our own name for it is free again, and to others its id is a text like any other.
    assert services.resolve_project(alice, "shop-7") != gone
    assert services.resolve_project(charlie, str(gone.pk)).external_id == str(gone.pk)


def test_own_assets_are_found_by_id_and_address_only_by_their_owner(alice: User, charlie: User) -> None:
    asset = make_asset(alice)

    for text in (str(asset.pk), services.asset_url(asset), services.address(asset)):
        assert services.find_own_asset(alice, text) == asset
        assert services.find_own_asset(charlie, text) is None
    for text in ("", "x", "http://testserver/media/assets/", "http://evil.example/media/assets/" + str(asset.pk)):
        assert services.find_own_asset(alice, text) is None


def test_deleting_a_file_keeps_the_record_and_is_safe_to_repeat(alice: User) -> None:
    asset = make_asset(alice)
    name = asset.file.name

    assert [services.delete_file(asset), services.delete_file(asset)] == [True, False]

    asset = Asset.objects.get(pk=asset.pk)
    assert (asset.status, asset.file.name, asset.sha256 != "", asset.facts["duration"]) == ("deleted", "", True, 10.0)
    assert not media_storage().exists(name)
    assert services.asset_url(asset) == ""


def test_an_import_fetched_by_two_workers_keeps_one_file(
    alice: User, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lost its lease while it was downloading; the second had finished by then."""
    pending = services.import_url(services.default_project(alice), "https://example.org/clip.mp4")
    late = Asset.objects.get(pk=pending.pk)

    def fetch(url: str, target: Path, **_: object) -> Any:
        target.write_bytes(clip)
        return services.egress.FetchResult(url, "video/mp4", len(clip), hashlib.sha256(clip).hexdigest())

    monkeypatch.setattr(services.egress, "fetch", fetch)

    first = services.ingest(pending)
    second = services.ingest(late)

    assert (first.status, second.status) == ("ready", "ready")
    assert first.file.name == second.file.name
    _, kept = media_storage().listdir(f"assets/{first.pk}")
    assert kept == ["source"]
    assert services.ingest(first) == first
