"""Every movement of credits. Each locks the wallet row first, then looks up its key, then checks, then writes.

In that order and in one transaction, racing callers queue at the wallet and
the second one sees what the first did. SQLite has no row locks; there
IMMEDIATE transactions give the same order.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts import closing
from apps.accounts.models import User
from apps.credits import low, prices
from apps.credits.amounts import to_credits
from apps.credits.models import DISPUTE, Hold, LedgerEntry, Wallet
from apps.errors import AppError


def open_wallet(user: User, *, grant: bool = True) -> Wallet:
    """The account's wallet; the call that makes it also gives the free grant, unless told not to. Idempotent."""
    if wallet := Wallet.objects.filter(user=user).first():
        return wallet
    with transaction.atomic():
        wallet, is_new = Wallet.objects.get_or_create(user=user)
        # Once for each address, or deleting the account would be a way to new ones.
        free = prices.current().free_grant if is_new and grant and not closing.had_account(user.email) else 0
        if free:
            _post(
                wallet,
                LedgerEntry.Kind.GRANT,
                free,
                key=f"grant:signup:{user.pk}",
                note="Free credits for a new account",
            )
    return wallet


def hold(user: User, amount: int, *, key: str, reference: str) -> Hold:
    """Set credits aside; the same key again returns the same hold and sets nothing aside.

    Refused as `insufficient_credits` when balance − held does not cover it,
    which includes every wallet that a refund took below zero.
    """
    if amount < 0:
        raise ValueError(f"a hold cannot be negative: {amount}")
    with transaction.atomic():
        wallet = lock_wallet(user)
        if existing := Hold.objects.filter(key=key).first():
            _same_wallet(wallet, existing)
            return existing
        if amount > wallet.available:
            raise insufficient(needed=amount, available=wallet.available)
        made = Hold.objects.create(wallet=wallet, amount=amount, key=key, reference=reference)
        wallet.held += amount
        wallet.save(update_fields=["held"])
    return made


def capture(hold: Hold, amount: int) -> bool:
    """Take min(amount, what was held) and give the rest back; True only for the call that did it."""
    if amount < 0:
        raise ValueError(f"a capture cannot be negative: {amount}")
    return _settle(hold, Hold.State.CAPTURED, taken=min(amount, hold.amount))


def release(hold: Hold) -> bool:
    """Give held credits back; True only for the call that did it.

    Safe to call twice and from two processes: only the caller whose UPDATE
    still finds the hold open moves any credits.
    """
    return _settle(hold, Hold.State.RELEASED, taken=0)


def grant(user: User, amount: int, *, key: str, note: str, staff: User | None = None) -> LedgerEntry:
    """Give credits away; the same key again returns the entry it made."""
    if amount <= 0:
        raise AppError("invalid_request", "Grant more than 0 credits.", param="credits")
    with transaction.atomic():
        wallet = lock_wallet(user)
        if existing := LedgerEntry.objects.filter(key=key).first():
            _same_wallet(wallet, existing)
            return existing
        return _post(wallet, LedgerEntry.Kind.GRANT, amount, key=key, note=note, staff=staff)


def adjust(user: User, amount: int, *, key: str, reason: str, staff: User) -> LedgerEntry:
    """Correct a balance by hand, up, or down by no more than is available; the same key again returns its entry."""
    if amount == 0:
        raise AppError("invalid_request", "An adjustment is more or less than 0 credits.", param="credits")
    if not reason.strip():
        raise AppError("invalid_request", "Say why the balance is adjusted.", param="note")
    with transaction.atomic():
        wallet = lock_wallet(user)
        if existing := LedgerEntry.objects.filter(key=key).first():
            _same_wallet(wallet, existing)
            return existing
        if amount < 0 and -amount > wallet.available:
            free = to_credits(max(0, wallet.available))
            raise AppError(
                "invalid_request", f"Take no more than the {free} credits that are available.", param="credits"
            )
        return _post(wallet, LedgerEntry.Kind.ADJUSTMENT, amount, key=key, note=reason.strip(), staff=staff)


def give_back(hold: Hold, *, reason: str, staff: User) -> LedgerEntry:
    """Return what a settled hold took, all of it and once; a second call is refused."""
    if hold.state != Hold.State.CAPTURED or not hold.captured:
        raise AppError("conflict", "Nothing was charged, so there is nothing to give back.")
    if not reason.strip():
        raise AppError("invalid_request", "Say why the credits are given back.", param="note")
    with transaction.atomic():
        wallet = lock_wallet(hold.wallet.user)
        key = return_key(hold)
        if LedgerEntry.objects.filter(key=key).exists():
            raise AppError("conflict", "These credits were given back before.")
        return _post(
            wallet,
            LedgerEntry.Kind.RETURN,
            hold.captured,
            key=key,
            reference=hold.reference,
            note=reason.strip(),
            staff=staff,
        )


def return_key(hold: Hold) -> str:
    return f"return:{hold.pk}"


def set_aside_for_dispute(user: User, amount: int, *, reference: str, number: int) -> None:
    """Make the open hold for a purchase's dispute `amount`, 0 for none.

    Taken whatever is available, because the money is gone from Stripe already:
    until the dispute is decided these credits cannot be spent, yet no balance falls below zero.
    """
    with transaction.atomic():
        wallet = lock_wallet(user)
        open_holds = wallet.holds.filter(state=Hold.State.OPEN, reference=reference, key__startswith=DISPUTE)
        before = open_holds.first()
        if before and before.amount == amount:
            return
        if before:
            release(before)
        if amount:
            Hold.objects.create(wallet=wallet, amount=amount, key=f"{DISPUTE}{reference}:{number}", reference=reference)
            Wallet.objects.filter(pk=wallet.pk).update(held=F("held") + amount)


def post(
    user: User,
    kind: LedgerEntry.Kind,
    amount: int,
    *,
    key: str,
    reference: str,
    note: str = "",
) -> LedgerEntry | None:
    """Write one signed line; None when there is nothing to write or the key has written before.

    Takes a balance below zero if it must, so it is for what has already
    happened elsewhere (a payment, a refund), never for spending.
    """
    if amount == 0:
        return None
    with transaction.atomic():
        wallet = lock_wallet(user)
        if existing := LedgerEntry.objects.filter(key=key).first():
            _same_wallet(wallet, existing)
            return None
        return _post(wallet, kind, amount, key=key, reference=reference, note=note)


def lapse(user: User) -> None:
    """Write off what a deleted account has left; what an open dispute sets aside stays. Idempotent."""
    wallet = Wallet.objects.select_for_update().filter(user=user)
    with transaction.atomic():
        for found in wallet:
            if found.available > 0:
                key = f"lapse:{user.pk}:{found.entries.count()}"
                _post(
                    found, LedgerEntry.Kind.LAPSE, -found.available, key=key, note="Left when the account was deleted"
                )


def lock_wallet(user: User) -> Wallet:
    """The wallet, nobody else's until the caller's transaction ends; opened if this is its first use."""
    wallets = Wallet.objects.select_for_update()
    return wallets.filter(user=user).first() or wallets.get(pk=open_wallet(user).pk)


def insufficient(*, needed: int, available: int) -> AppError:
    """The refusal, with both numbers and where to buy."""
    message = (
        f"This needs {to_credits(needed)} credits and {to_credits(available)} are available. "
        f"Buy credits at {settings.SITE_URL}/credits."
    )
    details = {
        "needed": to_credits(needed),
        "available": to_credits(available),
        "buy_url": f"{settings.SITE_URL}/credits",
    }
    return AppError("insufficient_credits", message, details=details)


def _settle(hold: Hold, state: Hold.State, *, taken: int) -> bool:
    now = timezone.now()
    with transaction.atomic():
        wallet = Wallet.objects.select_for_update().get(pk=hold.wallet_id)
        still_open = Hold.objects.filter(pk=hold.pk, state=Hold.State.OPEN)
        if not still_open.update(state=state, captured=taken, settled_at=now):
            return False
        wallet.held -= hold.amount
        wallet.save(update_fields=["held"])
        if taken:
            _post(wallet, LedgerEntry.Kind.CAPTURE, -taken, key=f"capture:{hold.pk}", reference=hold.reference)
    hold.state, hold.captured, hold.settled_at = state, taken, now
    return True


def _post(
    wallet: Wallet,
    kind: LedgerEntry.Kind,
    amount: int,
    *,
    key: str,
    reference: str = "",
    note: str = "",
    staff: User | None = None,
) -> LedgerEntry:
    """The one place that writes an entry; the caller holds the wallet's lock and has looked up the key."""
    before = wallet.balance
    wallet.balance += amount
    wallet.save(update_fields=["balance"])
    entry = LedgerEntry.objects.create(
        wallet=wallet,
        kind=kind,
        amount=amount,
        balance_after=wallet.balance,
        key=key,
        reference=reference,
        note=note[:300],
        staff=staff,
        staff_name=staff.email if staff else "",
    )
    low.tell(wallet, entry, before=before)
    return entry


def _same_wallet(wallet: Wallet, row: Hold | LedgerEntry) -> None:
    if row.wallet_id != wallet.pk:
        raise ValueError(f"key {row.key} belongs to another wallet")
