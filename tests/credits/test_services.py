import pytest

from apps.credits import services
from apps.credits.models import Hold, LedgerEntry, Wallet
from apps.errors import AppError
from tests.conftest import make_user

Kind = LedgerEntry.Kind


def numbers(user) -> tuple[int, int]:
    wallet = Wallet.objects.get(user=user)
    return wallet.balance, wallet.held


def entries(user) -> list[tuple[str, int, int]]:
    rows = LedgerEntry.objects.filter(wallet__user=user).order_by("id")
    return list(rows.values_list("kind", "amount", "balance_after"))


def test_the_first_opening_gives_the_free_grant_once(db):
    user = make_user("new@example.org")

    assert services.open_wallet(user) == services.open_wallet(user)

    assert entries(user) == [("grant", 20_00, 20_00)]
    assert numbers(user) == (20_00, 0)


def test_a_wallet_opened_without_the_grant_never_gets_it(db):
    user = make_user("made@example.org")
    services.open_wallet(user, grant=False)
    services.grant(user, 5_00, key="five", note="")

    services.open_wallet(user)

    assert numbers(user) == (5_00, 0)


def test_a_hold_opens_the_wallet_of_someone_new(db):
    user = make_user("new@example.org")

    services.hold(user, 15_00, key="job", reference="job")

    assert numbers(user) == (20_00, 15_00)


def test_a_hold_sets_aside_without_spending(alice):
    hold = services.hold(alice, 30_00, key="job", reference="job-1")

    assert (hold.amount, hold.state, hold.reference) == (30_00, "open", "job-1")
    assert numbers(alice) == (100_00, 30_00)


def test_a_hold_of_everything_is_granted_and_one_more_is_not(alice):
    services.hold(alice, 100_00, key="all", reference="")

    with pytest.raises(AppError):
        services.hold(alice, 1, key="more", reference="")

    assert numbers(alice) == (100_00, 100_00)


def test_the_refusal_names_both_numbers_and_where_to_buy(alice, settings):
    services.hold(alice, 92_50, key="first", reference="")

    with pytest.raises(AppError) as refusal:
        services.hold(alice, 60_00, key="second", reference="")

    error = refusal.value
    assert (error.code, error.status) == ("insufficient_credits", 402)
    assert error.details == {"needed": 60, "available": 7.5, "buy_url": f"{settings.SITE_URL}/credits"}
    assert error.message == (
        f"This needs 60 credits and 7.5 are available. Buy credits at {settings.SITE_URL}/credits."
    )
    assert Hold.objects.count() == 1


def test_the_same_key_returns_the_same_hold(alice):
    first = services.hold(alice, 30_00, key="job", reference="job")

    assert services.hold(alice, 30_00, key="job", reference="job") == first
    assert numbers(alice) == (100_00, 30_00)


def test_a_key_of_another_wallet_is_a_fault(alice, charlie):
    services.hold(alice, 1_00, key="job", reference="")
    services.grant(alice, 1_00, key="gift", note="")

    with pytest.raises(ValueError, match="another wallet"):
        services.hold(charlie, 1_00, key="job", reference="")
    with pytest.raises(ValueError, match="another wallet"):
        services.grant(charlie, 1_00, key="gift", note="")


def test_a_negative_balance_holds_nothing(alice):
    services.post(alice, Kind.REFUND, -130_00, key="refund", reference="purchase")

    for amount in (0, 1):
        with pytest.raises(AppError) as refusal:
            services.hold(alice, amount, key=f"job {amount}", reference="")
        assert refusal.value.details["available"] == -30

    assert numbers(alice) == (-30_00, 0)


def test_capture_takes_the_price_and_gives_the_rest_back(alice):
    hold = services.hold(alice, 30_00, key="job", reference="job-1")

    assert services.capture(hold, 22_50) is True

    assert numbers(alice) == (77_50, 0)
    assert entries(alice)[-1] == ("capture", -22_50, 77_50)
    assert LedgerEntry.objects.get(kind="capture").reference == "job-1"
    hold.refresh_from_db()
    assert (hold.state, hold.captured) == ("captured", 22_50)


def test_capture_never_takes_more_than_was_held(alice):
    hold = services.hold(alice, 30_00, key="job", reference="")

    services.capture(hold, 99_00)

    assert numbers(alice) == (70_00, 0)


def test_capture_of_nothing_writes_no_line(alice):
    hold = services.hold(alice, 0, key="free", reference="")

    assert services.capture(hold, 0) is True
    assert len(entries(alice)) == 1


def test_release_costs_nothing(alice):
    hold = services.hold(alice, 30_00, key="job", reference="")

    assert services.release(hold) is True

    assert numbers(alice) == (100_00, 0)
    assert len(entries(alice)) == 1


@pytest.mark.parametrize("first", [services.release, lambda hold: services.capture(hold, 10_00)])
@pytest.mark.parametrize("second", [services.release, lambda hold: services.capture(hold, 10_00)])
def test_a_hold_settles_once(alice, first, second):
    hold = services.hold(alice, 30_00, key="job", reference="")
    first(hold)
    after = numbers(alice), entries(alice)

    assert second(Hold.objects.get()) is False
    assert second(hold) is False
    assert (numbers(alice), entries(alice)) == after


def test_negative_amounts_are_faults(alice):
    hold = services.hold(alice, 1_00, key="job", reference="")

    with pytest.raises(ValueError, match="negative"):
        services.hold(alice, -1, key="other", reference="")
    with pytest.raises(ValueError, match="negative"):
        services.capture(hold, -1)


def test_the_same_grant_twice_is_one_entry(bob, sue):
    first = services.grant(bob, 5_00, key="gift", note="sorry", staff=sue)

    assert services.grant(bob, 5_00, key="gift", note="sorry", staff=sue) == first
    assert numbers(bob) == (5_00, 0)
    assert (first.kind, first.staff, first.note) == ("grant", sue, "sorry")


@pytest.mark.parametrize("amount", [0, -1])
def test_a_grant_of_nothing_is_refused(bob, amount):
    with pytest.raises(AppError, match="more than 0"):
        services.grant(bob, amount, key="gift", note="")


def test_post_writes_once_and_says_so(bob):
    assert services.post(bob, Kind.PURCHASE, 7_00, key="p:1", reference="p").amount == 7_00
    assert services.post(bob, Kind.PURCHASE, 7_00, key="p:1", reference="p") is None
    assert services.post(bob, Kind.PURCHASE, 0, key="p:2", reference="p") is None
    assert numbers(bob) == (7_00, 0)


def test_ledger_entries_are_immutable(alice):
    entry = LedgerEntry.objects.get()

    with pytest.raises(TypeError, match="immutable"):
        entry.save()
    with pytest.raises(TypeError, match="immutable"):
        entry.delete()


def test_movements_take_few_queries(alice, django_assert_num_queries):
    # Savepoint and its release around each, because the test itself is a transaction.
    with django_assert_num_queries(4 + 2):
        hold = services.hold(alice, 30_00, key="job", reference="")
    with django_assert_num_queries(5 + 2):
        services.capture(hold, 30_00)
