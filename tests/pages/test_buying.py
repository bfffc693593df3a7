"""A real browser with an empty wallet: upload, buy at the hosted page, and watch the job that the payment started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apps.credits import services
from apps.credits.audit import audit
from apps.credits.fakestripe.server import Server
from apps.credits.models import Purchase, StripeEvent, Wallet
from apps.jobs.models import Job
from tests import clips
from tests.conftest import make_user, need_model
from tests.live import wait_for
from tests.pages.visits import A_MINUTE, sign_in

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def clip(tmp_path) -> Path:
    """Twelve frames: 0.36 credits with `light`, the one model here that is quick enough to be run for real."""
    return clips.make_clip(tmp_path / "holiday.mp4", frames=12)


@pytest.fixture
def hosted(live_server, tmp_path, settings, house) -> Iterator[Server]:
    """The sandbox's Stripe as it really runs, its events delivered over HTTP; and the workers."""
    need_model("light")
    settings.SITE_URL = live_server.url
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_test"]
    server = Server(0, state=tmp_path / "s.json", webhook=f"{live_server.url}/stripe/webhook", secret="whsec_test")
    settings.STRIPE_API_BASE = server.address
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with house.workers():
        yield server
    server.shutdown()
    server.server_close()
    thread.join()


def upload_what_is_not_covered(page: Page, clip: Path) -> None:
    page.set_input_files("#id_file", clip)
    page.get_by_role("radio", name="light").check()
    expect(page.locator("#bill")).to_contain_text("This needs 0.36 credits, and 0 are available.")
    page.get_by_role("button", name="Buy credits, then start").click()
    page.wait_for_url("**/jobs/*/buy")
    expect(page.locator("main")).to_contain_text("Missing")


def choose_a_pack(page: Page) -> None:
    """The last page here leads on to the hosted one by itself."""
    page.get_by_role("button", name="Buy for $9").dblclick()
    page.wait_for_url("**/pay/*")
    expect(page.locator(".sandbox")).to_contain_text("This is not Stripe, and no money moves.")
    expect(page.locator(".price")).to_have_text("9.00 USD")


def be_declined_then_pay(page: Page) -> None:
    page.get_by_role("button", name="Let the card be declined").click()
    expect(page.get_by_role("alert")).to_contain_text("Your card was declined. Nothing was charged.")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/credits/purchases/*")
    expect(page.locator("#purchase")).to_contain_text("100 credits were bought")
    expect(page.get_by_role("link", name="Watch your cutout")).to_be_visible(timeout=A_MINUTE)
    expect(page.locator("#balance")).to_contain_text("99.64 credits")


def reload_and_watch(page: Page) -> None:
    page.reload()
    page.get_by_role("link", name="Watch your cutout").click(timeout=A_MINUTE)
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("link", name="Download WebM")).to_be_visible(timeout=2 * A_MINUTE)
    expect(page.locator("#balance")).to_contain_text("99.64 credits")


def test_from_an_empty_wallet_to_a_finished_job(visitor, hosted, clip):
    buyer = make_user("empty@example.org")
    services.open_wallet(buyer, grant=False)
    person = visitor(viewport={"width": 390, "height": 844})
    person.does(sign_in, buyer.email)

    person.does(upload_what_is_not_covered, clip)
    assert (Job.objects.get().status, Purchase.objects.count()) == ("created", 0)

    person.does(choose_a_pack)
    person.does(be_declined_then_pay)
    person.does(reload_and_watch)

    assert Job.objects.get().status == "completed"
    assert Purchase.objects.get().status == "paid"
    assert Wallet.objects.values_list("balance", "held").get(user=buyer) == (99_64, 0)
    wait_for(lambda: StripeEvent.objects.filter(processed_at__isnull=False).count() == 2, seconds=30)
    assert Wallet.objects.get(user=buyer).balance == 99_64
    assert audit() == []
