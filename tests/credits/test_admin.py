"""Support reads everything about credits and can change none of it, except by giving some."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from apps.accounts.acts import DONE_ALREADY
from apps.credits import services
from apps.credits.models import Hold, LedgerEntry, PriceList, Purchase, StripeEvent, Wallet
from apps.credits.stripe import named_in
from tests.admin.pressing import press
from tests.conftest import make_user

READ_ONLY = [Wallet, LedgerEntry, Hold, Purchase, StripeEvent]


@pytest.fixture
def support(client, sue):
    client.force_login(sue, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def records(alice, charlie):
    """One of each, and a second person whom searches must not find."""
    for user in (alice, charlie):
        services.hold(user, 7_50, key=f"job:{user.email}", reference=f"ref-{user.email}")
        Purchase.objects.create(
            user=user, pack="team", credits=1, amount=45_00, currency="usd", pricing_version=1,
            session_id=f"cs_{user.email}", payment_intent=f"pi_{user.email}", charge=f"ch_{user.email}",
        )  # fmt: skip
        payload = {"data": {"object": {"id": f"cs_{user.email}"}}}
        StripeEvent.objects.create(id=f"evt_{user.email}", type="t", payload=payload, **named_in(payload))


def page(model, name: str, *args) -> str:
    return reverse(f"admin:credits_{model._meta.model_name}_{name}", args=args)


@pytest.mark.parametrize("model", READ_ONLY)
def test_records_are_read_and_never_written(support, records, model):
    row = model.objects.first()

    assert support.get(page(model, "changelist")).status_code == 200
    shown = support.get(page(model, "change", row.pk))
    assert shown.status_code == 200
    assert b'name="_save"' not in shown.content
    assert support.get(page(model, "add")).status_code == 403
    assert support.post(page(model, "change", row.pk), {"amount": 1}).status_code == 403
    assert support.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    support.post(page(model, "changelist"), bulk)
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize(
    ("model", "query"),
    [
        (Wallet, "alice@"),
        (LedgerEntry, "alice@"),
        (Hold, "alice@"),
        (Hold, "ref-alice@example.org"),
        (Purchase, "alice@"),
        (Purchase, "cs_alice@example.org"),
        (Purchase, "pi_alice@example.org"),
        (Purchase, "ch_alice@example.org"),
        (StripeEvent, "evt_alice@example.org"),
        (StripeEvent, "cs_alice@example.org"),
    ],
)
def test_records_are_found(support, records, model, query):
    found = support.get(page(model, "changelist"), {"q": query}).context["cl"].queryset

    assert found.count() == 1
    assert "alice" in str(vars(found.get())) + str(getattr(found.get(), "user", "")) + owner_of(found.get())


def owner_of(row: object) -> str:
    return row.wallet.user.email if isinstance(row, LedgerEntry | Hold) else ""


def test_amounts_are_shown_in_credits(support, records):
    assert "-7.5" not in support.get(page(Hold, "changelist")).text
    assert "7.5" in support.get(page(Hold, "changelist")).text
    assert "92.5" in support.get(page(Wallet, "changelist")).text
    assert "45.00 USD" in support.get(page(Purchase, "changelist")).text


@pytest.mark.parametrize("model", [Wallet, LedgerEntry, Hold, Purchase])
def test_lists_cost_the_same_queries_at_two_and_six_rows(support, records, django_assert_max_num_queries, model):
    with django_assert_max_num_queries(20) as at_two:
        support.get(page(model, "changelist"))
    for number in range(4):
        user = make_user(f"{number}@example.org")
        services.hold(user, 1, key=str(number), reference="")
        Purchase.objects.create(user=user, pack="team", credits=1, amount=1, currency="usd", pricing_version=1)

    with django_assert_max_num_queries(20) as at_six:
        support.get(page(model, "changelist"))

    assert len(at_two.captured_queries) == len(at_six.captured_queries)


def give(client, user, credits: str, *, note: str = "sorry", number: str | None = None, how: str = "grant"):
    return press(client, user.wallet, how, reason=note, number=number, credits=credits)


def test_support_gives_credits_once_for_each_page(support, alice, sue):
    number = str(uuid.uuid4())

    assert "12.5 credits given" in give(support, alice, "12.5", number=number).text
    assert DONE_ALREADY in give(support, alice, "12.5", number=number).text

    entry = LedgerEntry.objects.first()
    assert (entry.amount, entry.staff, entry.note, entry.balance_after) == (12_50, sue, "sorry", 112_50)
    assert LedgerEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("credits", "note", "answer"),
    [("0", "x", "more than 0"), ("many", "x", "not a number"), ("1", " ", "Say why")],
)
def test_a_gift_that_is_none_is_refused(support, alice, credits, note, answer):
    assert answer in give(support, alice, credits, note=note).text
    assert LedgerEntry.objects.count() == 1


def test_staff_who_may_only_look_give_nothing(client, alice):
    looker = make_user("looker@example.org", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_wallet"))
    client.force_login(looker, backend="django.contrib.auth.backends.ModelBackend")

    assert give(client, alice, "5").status_code == 403

    assert Wallet.objects.get(user=alice).balance == 100_00


def test_a_price_list_is_history_once_it_has_started(support, rf, sue):
    started = PriceList.objects.get(version=1)
    coming = PriceList(version=2, starts_at=timezone.now() + timedelta(days=1))
    request = rf.get("/")
    request.user = sue
    site = admin.site.get_model_admin(PriceList)

    assert site.has_change_permission(request, started) is False
    assert site.has_change_permission(request, coming) is True
    assert site.has_delete_permission(request, coming) is False
    assert support.get(page(PriceList, "add")).status_code == 200


def adjust(client, user, credits: str, *, note: str, number: str | None = None):
    return give(client, user, credits, note=note, number=number, how="adjust")


def test_a_balance_is_adjusted_with_a_reason_and_a_name(support, alice, sue):
    number = str(uuid.uuid4())

    adjust(support, alice, "-70", note="granted twice by mistake", number=number)
    adjust(support, alice, "-70", note="granted twice by mistake", number=number)

    entry = LedgerEntry.objects.first()
    assert (entry.kind, entry.amount, entry.note) == ("adjustment", -70_00, "granted twice by mistake")
    assert (entry.staff, entry.staff_name) == (sue, "sue@example.org")
    assert Wallet.objects.get(user=alice).balance == 30_00


def test_an_adjustment_takes_no_more_than_is_available(support, alice):
    services.hold(alice, 40_00, key="h", reference="job")

    assert "no more than the 60 credits that are available" in adjust(support, alice, "-60.01", note="too much").text
    adjust(support, alice, "-60", note="all that there is")

    wallet = Wallet.objects.get(user=alice)
    assert (wallet.balance, wallet.available) == (40_00, 0)


def test_the_minus_of_the_label_can_be_typed(support, alice):
    adjust(support, alice, "−5", note="as the label says")

    assert LedgerEntry.objects.first().amount == -5_00


@pytest.mark.parametrize(("credits", "told"), [("98604.25", "98604.25"), ("1000000", "1000000"), ("-7.5", "-7.5")])
def test_large_amounts_are_told_to_the_hundredth(support, alice, credits, told):
    assert f"{told} credits put on the balance" in adjust(support, alice, credits, note="x").text

    entry = LedgerEntry.objects.first()
    assert str(entry) == f"adjustment {'' if told.startswith('-') else '+'}{told}"


@pytest.mark.parametrize(("credits", "note", "answer"), [("0", "x", "more or less than 0"), ("1", " ", "Say why")])
def test_an_adjustment_that_is_none_is_refused(support, alice, credits, note, answer):
    assert answer in adjust(support, alice, credits, note=note).text
    assert LedgerEntry.objects.count() == 1


def test_the_name_outlives_the_staff_account(support, alice, sue):
    adjust(support, alice, "1", note="x")
    sue.delete()

    assert LedgerEntry.objects.values_list("staff", "staff_name").first() == (None, "sue@example.org")


def new_list(client, **changes: object):
    """The form as it opens, with some of it typed over."""
    form = client.get(page(PriceList, "add")).context["adminform"].form
    shown = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    moment = timezone.now() + timedelta(days=1)
    typed = {name: value for name, value in shown.items() if value is not None and name != "starts_at"}
    typed |= {"starts_at_0": moment.strftime("%Y-%m-%d"), "starts_at_1": moment.strftime("%H:%M:%S"), **changes}
    return client.post(page(PriceList, "add"), typed)


def test_staff_write_a_new_list_in_credits_and_money(support):
    answer = new_list(
        support, rate_pro="199.5", grant="5", preview_allowance="3", currency="eur", pack1_price="9.99",
        pack4_id="mega", pack4_name="Mega", pack4_credits="10000", pack4_price="500",
    )  # fmt: skip

    assert answer.status_code == 302, answer.context["errors"]
    made = PriceList.objects.get(version=2)
    assert made.rates == {"original": 60_00, "light": 45_00, "human": 45_00, "pro": 199_50}
    assert (made.free_grant, made.preview_allowance, made.currency) == (5_00, 3, "eur")
    assert [(pack["id"], pack["credits"], pack["amount"]) for pack in made.packs] == [
        ("starter", 100_00, 9_99), ("team", 600_00, 45_00), ("studio", 3000_00, 180_00), ("mega", 10_000_00, 500_00),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_pro": "0"}, "greater than or equal to 0.01"),
        ({"pack1_name": ""}, "A pack needs an id, a name, credits and a price."),
        ({"pack2_id": "starter"}, "Each pack needs its own id."),
        ({"currency": "dollars"}, "at most 3 characters"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_in_words(support, changes, words):
    assert words in new_list(support, **changes).text
    assert PriceList.objects.count() == 1


def test_a_list_that_has_started_is_read_only(support):
    assert new_list(support).status_code == 302
    coming = PriceList.objects.get(version=2)

    assert b'name="rate_pro"' in support.get(page(PriceList, "change", 2)).content
    started = support.get(page(PriceList, "change", 1))
    assert b'name="rate_pro"' not in started.content
    assert "original 60" in started.text
    assert support.post(page(PriceList, "change", 1), {"rate_pro": "1"}).status_code == 403
    coming.starts_at = timezone.now() - timedelta(seconds=1)
    coming.save()
    with pytest.raises(TypeError, match="has started"):
        coming.save()
