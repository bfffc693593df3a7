"""Archives made while they are sent: whole, of any size, and broken off rather than wrong."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from apps.projects import archive, media
from apps.projects.archive import Cut, Entry, Names
from apps.projects.models import media_storage
from tests.factories import make_asset

CHUNK = b"\0" * 1_000_000


def of(content: bytes) -> Entry:
    return Entry("a.webm", lambda: iter([content]), size=len(content), when=datetime(2026, 5, 4, 3, 2, tzinfo=UTC))


def test_what_was_put_in_comes_out():
    text = Entry("facts/a.json", lambda: iter([b"{}", b"\n"]), is_text=True)

    opened = zipfile.ZipFile(io.BytesIO(b"".join(archive.stream([of(b"cutout"), text]))))

    assert opened.testzip() is None
    assert (opened.read("a.webm"), opened.read("facts/a.json")) == (b"cutout", b"{}\n")
    assert opened.getinfo("a.webm").date_time[:5] == (2026, 5, 4, 3, 2)
    assert opened.getinfo("a.webm").compress_type == zipfile.ZIP_STORED


def test_memory_does_not_grow_with_the_archive():
    def many() -> Iterator[bytes]:
        yield from (CHUNK for _ in range(100))

    tracemalloc.start()
    sent = sum(len(part) for part in archive.stream([Entry("a", many, size=100_000_000)]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sent > 100_000_000
    assert peak < 10_000_000


def test_an_entry_of_more_than_four_gigabytes_says_so_in_zip64():
    """Its header is written before its bytes, so the size that is known must decide."""
    parts = archive.stream([Entry("big.mov", lambda: iter([b"x"]), size=5_000_000_000)])

    header = next(parts)

    assert header[4:6] == b"\x2d\x00"  # needs version 4.5
    assert header[18:26] == b"\xff" * 8  # and both sizes elsewhere


def test_pythons_before_3_11_4_say_so_too(monkeypatch):
    """They wrote the field of ZIP64 and neither its version nor the marks that lead to it."""

    def as_then(self, zip64=None):
        return header(self, zip64)[:4] + b"\x14" + header(self, zip64)[5:18] + bytes(8) + header(self, zip64)[26:]

    header = zipfile.ZipInfo.FileHeader
    monkeypatch.setattr(zipfile.ZipInfo, "FileHeader", as_then)

    sent = b"".join(archive.stream([Entry("facts.json", lambda: iter([b"{}"]), is_text=True)]))

    assert (sent[4:6], sent[18:26]) == (b"\x2d\x00", b"\xff" * 8)
    with zipfile.ZipFile(io.BytesIO(sent)) as opened:
        assert opened.read("facts.json") == b"{}"


@pytest.mark.parametrize("content", [b"short", b"much too long"])
def test_a_file_that_is_not_as_it_was_written_down_breaks_the_archive_off(content):
    with pytest.raises(Cut):
        b"".join(archive.stream([Entry("a.webm", lambda: iter([content]), size=8)]))


def test_a_file_that_went_meanwhile_breaks_the_archive_off(alice):
    asset = make_asset(alice)
    media_storage().delete(str(asset.file.name))

    with pytest.raises(FileNotFoundError):
        b"".join(archive.stream([Entry("a", lambda: media.chunks(str(asset.file.name)), size=asset.size)]))


def test_each_name_is_given_once_whatever_its_case():
    names = Names()

    given = [names.of(wanted) for wanted in ("a.mov", "A.mov", "a.mov", ".hidden", ".hidden", "plain")]

    assert given == ["a.mov", "A (2).mov", "a (3).mov", ".hidden", ".hidden (2)", "plain"]
