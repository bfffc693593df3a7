"""Uploads in parts: one protocol on the local disk and on S3, from the first address to the asset."""

from __future__ import annotations

import hashlib
import io

import pytest
from django.core.files.storage import storages
from django.test import Client
from PIL import Image

from apps.errors import AppError
from apps.projects import parts, resumable
from apps.projects.models import Asset, Project, Upload
from tests.api.conftest import JSON
from tests.api.resumable.conftest import NO_MORE, PART, begin, complete, cut, put, refusal, send, state

pytestmark = pytest.mark.django_db


def test_a_file_in_parts_is_answered_like_one_that_came_at_once(store, api, alice, content):
    whole = api.post("/v1/uploads", {"file": io.BytesIO(content)}).json()
    begun = begin(api, content, sha256=hashlib.sha256(content).hexdigest(), project="film-7")
    count = -(-len(content) // PART)
    assert (begun["success"], begun["part_size"]) == (True, PART)
    assert [part["number"] for part in begun["parts"]] == list(range(1, count + 1))

    send(begun, content)
    response = complete(api, begun)

    body = response.json()
    assert response.status_code == 201
    assert {**body, "filename": "", "video_id": "", "video_url": ""} == {
        **whole, "filename": "", "video_id": "", "video_url": "",
    }  # fmt: skip
    asset = Asset.objects.get(pk=body["video_id"])
    assert (asset.owner, asset.sha256, asset.size) == (alice, hashlib.sha256(content).hexdigest(), len(content))
    assert asset.project == Project.objects.get(external_id="film-7")
    with storages["media"].open(asset.file.name) as file:
        assert file.read() == content
    assert state(api, begun)["video_id"] == body["video_id"]


def test_what_has_arrived_is_told_and_what_is_missing_is_named(store, api, content):
    begun = begin(api, content)
    etags = send(begun, content, without=(1, 2))

    told = state(api, begun)
    response = complete(api, begun)

    assert told["status"] == "open"
    assert told["missing"] == [1, 2]
    assert {part["number"]: part["etag"] for part in told["parts"]} == etags
    assert refusal(response) == (409, "conflict", "parts")
    assert response.json()["error"]["missing"] == [1, 2]
    assert Asset.objects.count() == 0


def test_a_lost_connection_is_taken_up_with_fresh_addresses(store, api, content):
    begun = begin(api, content)
    send(begun, content, without=(1, 3))

    fresh = api.post(f"/v1/uploads/{begun['upload_id']}/parts", {"numbers": [3, 1]}, content_type=JSON).json()
    send(fresh, content)

    assert [part["number"] for part in fresh["parts"]] == [3, 1]
    assert complete(api, begun).status_code == 201


def test_a_part_sent_again_replaces_the_first(store, api, content):
    begun = begin(api, content, sha256=hashlib.sha256(content).hexdigest())
    put(begun["parts"][0]["url"], b"?" * PART)

    etags = send(begun, content)

    assert state(api, begun)["parts"][0]["etag"] == etags[1]
    assert complete(api, begun).status_code == 201


def test_the_callers_etags_are_checked_where_given(store, api, content):
    begun = begin(api, content)
    etags = send(begun, content)
    wrong = [{"number": 1, "etag": '"0123"'}]
    right = [{"number": number, "etag": etag} for number, etag in etags.items()]

    assert refusal(complete(api, begun, {"parts": wrong})) == (422, "invalid_request", "parts")
    assert complete(api, begun, {"parts": right}).status_code == 201


@pytest.mark.parametrize("promised", ["another sha256", None])
def test_a_file_that_is_refused_is_not_kept_and_stays_refused(store, api, content, promised):
    data = content if promised else b"no film at all" * 200
    begun = begin(api, data, **({"sha256": "0" * 64} if promised else {}))
    send(begun, data)

    first, second = complete(api, begun), complete(api, begun)

    expected = (422, "invalid_request", "sha256") if promised else (422, "unsupported_media", "file")
    assert refusal(first) == refusal(second) == expected
    assert (state(api, begun)["status"], state(api, begun)["error_code"]) == ("failed", expected[1])
    assert Asset.objects.count() == 0


def test_completed_twice_it_is_one_asset_with_one_answer(store, api, content):
    begun = begin(api, content)
    send(begun, content)

    first, second = complete(api, begun), complete(api, begun)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["video_id"] == second.json()["video_id"] == begun["upload_id"]
    assert Asset.objects.count() == 1


def test_what_is_complete_cannot_be_given_up_or_sent_to(store, api, content):
    begun = begin(api, content)
    send(begun, content)
    complete(api, begun)

    assert refusal(api.delete(f"/v1/uploads/{begun['upload_id']}")) == (409, "conflict", None)
    fresh = api.post(f"/v1/uploads/{begun['upload_id']}/parts", {"numbers": [1]}, content_type=JSON)
    assert refusal(fresh) == (409, "conflict", None)
    assert put(begun["parts"][0]["url"], cut(content, 1)).status_code in NO_MORE


def test_a_background_comes_in_parts_too(store, api):
    picture = io.BytesIO()
    Image.effect_noise((60, 40), 90).save(picture, "PNG")
    begun = begin(api, picture.getvalue(), filename="b.png", purpose="background")
    send(begun, picture.getvalue())

    body = complete(api, begun).json()

    assert (body["width"], body["height"], body["image_id"]) == (60, 40, begun["upload_id"])


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"size": 500_000_001}, 413, "file_too_large", "file"),
        ({"size": 20_000_001, "purpose": "background"}, 413, "file_too_large", "file"),
        ({"size": 0}, 422, "invalid_request", "size"),
        ({"size": -5}, 422, "invalid_request", "size"),
        ({"size": "2000"}, 422, "invalid_request", "size"),
        ({"size": 20.5}, 422, "invalid_request", "size"),
        ({"size": True}, 422, "invalid_request", "size"),
        ({"size": None}, 422, "invalid_request", "size"),
        ({"size": 10**30}, 413, "file_too_large", "file"),
        ({"filename": 7}, 422, "invalid_request", "filename"),
        ({"filename": ""}, 422, "invalid_request", "filename"),
        ({"sha256": "abc"}, 422, "invalid_request", "sha256"),
        ({"sha256": "0" * 63 + "g"}, 422, "invalid_request", "sha256"),
        ({"content_type": 1}, 422, "invalid_request", "content_type"),
        ({"purpose": "audio"}, 422, "invalid_request", "purpose"),
        ({"colour": "red"}, 422, "invalid_request", "colour"),
    ],
)
def test_what_would_be_refused_is_refused_before_a_byte_is_sent(api, changes, status, code, param):
    answer = begin(api, b"x" * 100, expect=status, **changes)

    assert (answer["error"]["code"], answer["error"]["param"]) == (code, param)
    assert Upload.objects.count() == 0


def test_an_account_cannot_pile_up_unfinished_uploads(store, api, alice, settings, content):
    settings.MAX_UNFINISHED_UPLOADS = 2
    first, _ = begin(api, content), begin(api, content)

    answer = begin(api, content, expect=422)
    api.delete(f"/v1/uploads/{first['upload_id']}")

    assert answer["error"]["code"] == "limit_exceeded"
    begin(api, content)
    newest = resumable.begin(alice, filename="x", size=5, makes_room=True)
    assert Upload.objects.count() == 2
    assert resumable.unfinished(alice).first() == newest


@pytest.mark.parametrize("body", [{}, {"numbers": []}, {"numbers": [0]}, {"numbers": [99]}, {"numbers": ["1"]}])
def test_a_part_that_does_not_exist_gets_no_address(api, content, body):
    begun = begin(api, content)

    answer = api.post(f"/v1/uploads/{begun['upload_id']}/parts", body, content_type=JSON)

    assert refusal(answer)[:2] == (422, "invalid_request")
    resumable.discard(Upload.objects.get())


def test_strangers_and_narrow_keys_see_nothing(api, caller, alice, charlie, content):
    begun = begin(api, content)
    path = f"/v1/uploads/{begun['upload_id']}"
    stranger, narrow = caller(charlie), caller(alice, scopes=("jobs:read", "jobs:write"))

    for client, status in ((stranger, 404), (narrow, 403)):
        assert client.get(path).status_code == status
        assert client.delete(path).status_code == status
        assert client.post(f"{path}/complete", {}, content_type=JSON).status_code == status
        assert client.post(f"{path}/parts", {"numbers": [1]}, content_type=JSON).status_code == status
    assert Client().get(path).status_code == 401
    resumable.discard(Upload.objects.get())


def test_an_address_of_a_part_cannot_be_bent(api, content):
    begun = begin(api, content)
    first, second = begun["parts"][0]["url"], begun["parts"][1]["url"]
    later = first.replace("expires=1", "expires=2")

    for url in (first.replace("/parts/1?", "/parts/2?"), later, first[:-3] + "abc", second.partition("?")[0]):
        assert put(url, cut(content, 1)).status_code in (403, 422)
    assert put(first, cut(content, 1)).status_code == 200
    resumable.discard(Upload.objects.get())


@pytest.mark.parametrize(("data", "status"), [(b"", 422), (b"x" * 499, 422), (b"x" * 501, 413)])
def test_a_part_of_another_size_is_refused(api, content, data, status):
    begun = begin(api, content)

    answer = put(begun["parts"][0]["url"], data)

    assert answer.status_code == status
    assert state(api, begun)["parts"] == []
    resumable.discard(Upload.objects.get())


def test_a_part_that_breaks_off_leaves_the_one_before_it(api, content):
    begun = begin(api, content)
    etag = put(begun["parts"][0]["url"], cut(content, 1)).headers["ETag"]
    upload = Upload.objects.get()

    with pytest.raises(AppError, match="ended before"):
        parts.LocalParts().put(upload, 1, io.BytesIO(b"only so much"))

    assert state(api, begun)["parts"] == [{"number": 1, "size": PART, "etag": etag}]
    assert len([path for path in parts.folder_of(upload).iterdir() if path.name != ".lock"]) == 1
    resumable.discard(upload)


def test_the_same_key_begins_and_completes_once(store, api, content):
    body = {"filename": "clip.mp4", "size": len(content), "content_type": "video/mp4"}
    key = {"Idempotency-Key": "k-1"}
    first = api.post("/v1/uploads", body, content_type=JSON, headers=key)
    again = api.post("/v1/uploads", body, content_type=JSON, headers=key)
    other = api.post("/v1/uploads", {**body, "size": 9}, content_type=JSON, headers=key)
    send(first.json(), content)

    done = complete(api, first.json(), **{"Idempotency-Key": "k-2"})
    replayed = complete(api, first.json(), **{"Idempotency-Key": "k-2"})

    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert refusal(other)[:2] == (409, "idempotency_mismatch")
    assert (done.status_code, replayed.json()) == (201, done.json())
    assert Upload.objects.count() == 1


def test_a_large_file_gets_larger_parts(alice, settings):
    settings.MAX_UPLOAD_BYTES = 10**12

    upload = resumable.begin(alice, filename="x", size=10 * PART * resumable.MOST_PARTS + 1)

    assert upload.part_count <= resumable.MOST_PARTS
    assert sum(upload.size_of(number) for number in range(1, upload.part_count + 1)) == upload.size
    resumable.discard(upload)
