import pytest
from django.core.management import call_command

from apps.credits import services
from apps.credits.audit import audit
from apps.credits.models import Wallet


@pytest.fixture
def busy(alice, bob, charlie):
    """Wallets with several entries and holds in every state."""
    for number in range(3):
        services.grant(alice, 1_00, key=f"gift {number}", note="")
        services.hold(alice, 2_00, key=f"open {number}", reference="")
    services.capture(services.hold(charlie, 3_00, key="captured", reference=""), 3_00)
    services.release(services.hold(charlie, 3_00, key="released", reference=""))


def test_books_kept_by_the_services_are_in_order(busy, capsys):
    assert audit() == []

    call_command("audit_ledger")

    assert capsys.readouterr().out == "3 wallets, 0 drifted\n"


@pytest.mark.parametrize("field", ["balance", "held"])
def test_a_number_nobody_posted_is_found(busy, alice, field, capsys):
    Wallet.objects.filter(user=alice).update(**{field: 1})

    assert [drift.email for drift in audit()] == ["alice@example.org"]
    with pytest.raises(SystemExit) as leaving:
        call_command("audit_ledger")

    assert leaving.value.code == 1
    assert "alice@example.org: balance" in capsys.readouterr().out


def test_the_audit_is_one_query(busy, django_assert_num_queries):
    with django_assert_num_queries(1):
        audit()
