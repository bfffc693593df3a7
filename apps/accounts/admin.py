"""For support: find a person, shut a key out, and read what staff did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from apps.accounts import closing, services
from apps.accounts.acts import Button, Wish
from apps.accounts.models import Act, ApiKey, DataRequest, Mail, User
from apps.accounts.records import RecordAdmin, link, listing, one_of, page
from apps.accounts.sought import Sought, keys
from apps.errors import AppError

MAILS = ("job_finished", "low_credits", "webhook_disabled", "second_factor_removed")


def owner(sought: Sought) -> User | None:
    """Whose id or e-mail this is; that of a deleted account only whole, and while nobody else signed up with it."""
    if sought.id:
        return User.objects.filter(pk=sought.id).first()
    if not sought.email:
        return None
    # Typed only in part it has to begin one address, not several.
    found = User.objects.filter(email__startswith=sought.email).order_by("email")[:2]
    known = next((user for user in found if user.email == sought.email or len(found) == 1), None)
    if known or found:
        return known
    closed = closing.deletions_of(sought.email).select_related("user").order_by("-created_at").first()
    return closed.user if closed else None


class OfAccountAdmin(RecordAdmin):
    """What belongs to an account: found by it, beside the record's own id, and with a link to it."""

    belongs_to: ClassVar[str] = "user"
    """The field that leads to the account."""

    def of_account(self, sought: Sought) -> Q | None:
        found = owner(sought)
        return Q(**{self.belongs_to: found.pk}) if found else None

    def condition(self, sought: Sought) -> Q | None:
        return self.of_account(sought) or sought.ids()

    def whose(self, record: Any) -> User | None:
        for name in self.belongs_to.split("__"):
            record = getattr(record, name)
        return cast("User | None", record)

    @admin.display(description="account")
    def of(self, record: Any) -> str:
        user = self.whose(record)
        return link("accounts_user", user.pk, user) if user else "–"


def _may(user: User, wish: Wish) -> None:
    if (user.is_staff or user.is_superuser) and not wish.staff.is_superuser:
        raise AppError("forbidden_scope", "For one of the staff a superuser does that.")


def _disable_account(user: User, wish: Wish) -> str:
    _may(user, wish)
    if user == wish.staff:
        raise AppError("conflict", "This is your own account: somebody else disables it.")
    services.disable_account(user)
    return f"{user} is let in no more, and neither is any key of theirs."


def _enable_account(user: User, wish: Wish) -> str:
    _may(user, wish)
    services.enable_account(user)
    return f"{user} may sign in again; their keys are as they were."


def _why_not_enabled(user: User) -> str:
    if closing.is_closed(user):
        return "It was deleted."
    return "It is enabled." if user.is_active else ""


def _look_at_account(user: User) -> dict[str, Any]:
    return {"is_active": User.objects.get(pk=user.pk).is_active}


def _remove_factor(user: User, wish: Wish) -> str:
    _may(user, wish)
    services.remove_second_factor(user)
    return f"{user} signs in with the password alone until they set one up again."


@admin.register(User)
class UserAdmin(RecordAdmin):
    """People sign up themselves or come by `manage.py create_account`; their records outlive them."""

    rank = 0
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "groups", "date_joined")
    search_help_text = "E-mail or its beginning with the @, or account id."
    ordering = ("-date_joined",)
    fields = (
        "id", "email", "name", "date_joined", "last_login", "mails_finished_jobs", "mails_low_credits",
        "is_active", "is_staff", "is_superuser", "groups",
    )  # fmt: skip
    readonly_fields = (
        "id", "email", "name", "date_joined", "last_login", "mails_finished_jobs", "mails_low_credits", "is_active",
    )  # fmt: skip
    filter_horizontal = ("groups",)
    buttons = (
        Button(
            "disable_account", "Disable the account", "accounts.change_user", _disable_account, _look_at_account,
            lambda user: "" if user.is_active else "It is disabled.",
            hint="(nobody gets in; jobs that were asked for are still done)",
        ),
        Button(
            "enable_account", "Enable the account", "accounts.change_user", _enable_account, _look_at_account,
            _why_not_enabled,
        ),
        Button(
            "unlock", "Remove the second factor", "mfa.delete_authenticator", _remove_factor,
            lambda user: {"second_factor": is_mfa_enabled(user)},
            lambda user: "" if is_mfa_enabled(user) else "There is none.",
            hint="(make sure that it is really them)",
        ),
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if sought.email:
            found = owner(sought)
            return Q(pk=found.pk) if found else Q(email__startswith=sought.email)
        return sought.ids()

    def detail(self, record: User) -> str:
        state = "" if record.is_active else "deleted" if closing.is_closed(record) else "disabled"
        return ", ".join(filter(None, (record.name, state)))

    def account_of(self, record: User) -> Any:
        return record.pk

    def ways(self, record: User) -> list[tuple[str, str]]:
        kinds = {
            "Wallet": "credits_wallet", "Ledger": "credits_ledgerentry", "Purchases": "credits_purchase",
            "Projects": "projects_project", "Jobs": "jobs_job", "Files": "projects_asset",
            "API keys": "accounts_apikey", "Deliveries": "webhooks_delivery", "Mail": "accounts_mail",
            "Addresses": "account_emailaddress", "Sessions": "usersessions_usersession",
            "Second factors": "mfa_authenticator", "Done by staff": "accounts_act",
        }  # fmt: skip
        return [(words, listing(kind, record.pk)) for words, kind in kinds.items()]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only to give rights: whoever has them all decides that, or staff could promote themselves."""
        return bool(request.user.is_superuser)


def _disable(key: ApiKey, wish: Wish) -> str:
    services.disable_key(key)
    return f"{key.name} opens nothing any more."


def _enable(key: ApiKey, wish: Wish) -> str:
    services.enable_key(key)
    return f"{key.name} opens again."


def _rotate(key: ApiKey, wish: Wish) -> str:
    secret = services.rotate_key(key, grace=timedelta(0))
    return f"The new secret of {key.name} is {secret}. It is shown this once: give it to {key.user} safely."


def _look(key: ApiKey) -> dict[str, Any]:
    fresh = ApiKey.objects.get(pk=key.pk)
    return {"disabled": fresh.disabled_at and fresh.disabled_at.isoformat(), "prefix": fresh.prefix}


@admin.register(ApiKey)
class ApiKeyAdmin(OfAccountAdmin):
    rank = 6
    list_display = ("prefix", "name", "user", "created_at", "last_used_at", "expires_at", "disabled_at")
    list_filter = (("disabled_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_help_text = "The key or its first ten characters, key id, or e-mail or account id of its owner."
    # Without the digest: support has no use for it.
    fields = readonly_fields = (
        "id", "of", "name", "prefix", "scopes", "credits_a_month", "created_at", "last_used_at", "expires_at",
        "disabled_at", "previous_until",
    )  # fmt: skip
    buttons = (
        Button(
            "disable", "Disable", "accounts.disable_apikey", _disable, _look,
            lambda key: "It is disabled." if key.disabled_at else "",
        ),
        Button(
            "enable", "Enable", "accounts.disable_apikey", _enable, _look,
            lambda key: "" if key.disabled_at else "It is enabled.",
        ),
        Button("rotate", "Rotate: the old secret stops now", "accounts.disable_apikey", _rotate, _look),
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if sought.text.startswith(services.KEY_PREFIX):
            return Q(prefix=sought.text[: services.SHOWN_CHARACTERS])
        return super().condition(sought)

    def ways(self, record: ApiKey) -> list[tuple[str, str]]:
        return [("Account", page("accounts_user", record.user_id)), ("Jobs with it", listing("jobs_job", record.pk))]

    def detail(self, record: ApiKey) -> str:
        return f"of {record.user}{', disabled' if record.disabled_at else ''}"

    @admin.display(description="credits a month")
    def credits_a_month(self, key: ApiKey) -> str:
        return "no cap" if key.monthly_cap is None else f"{key.monthly_cap / 100:,.2f}"


@admin.register(Mail)
class MailAdmin(OfAccountAdmin):
    """What people were mailed beside what concerns signing in, and whether it went out."""

    list_display = ("kind", "user", "created_at", "sent_at", "attempts", "next_attempt_at")
    list_filter = (one_of("kind", MAILS), "created_at", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_help_text = "E-mail or account id, job id, mail id, or the occasion's key."
    fields = readonly_fields = (
        "id", "of", "kind", "key", "about", "context", "created_at", "attempts", "next_attempt_at", "sent_at",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if theirs := self.of_account(sought):
            return theirs
        return Q(key__in=(sought.text, f"job:{sought.id}")) if not sought.first or sought.id else sought.ids()

    @admin.display(description="job")
    def about(self, mail: Mail) -> str:
        kind, _, pk = mail.key.partition(":")
        return link("jobs_job", pk, pk) if kind == "job" else "–"


@admin.register(Act)
class ActAdmin(RecordAdmin):
    """Who did what by hand, when and why, and what it changed."""

    list_display = ("created_at", "staff_name", "action", "what", "subject", "reason")
    list_filter = ("created_at",)
    date_hierarchy = "created_at"
    search_help_text = "Id of the record it was done to, or e-mail or id of its account."
    fields = readonly_fields = (
        "created_at", "staff_name", "action", "what", "record", "account", "reason", "before", "after",
    )  # fmt: skip

    def condition(self, sought: Sought) -> Q | None:
        if found := owner(sought):
            return Q(account=found.pk)
        return Q(subject=sought.id or sought.text) if not sought.first or sought.id else None

    @admin.display(description="subject")
    def record(self, act: Act) -> str:
        return link(act.what.replace(".", "_"), act.subject, act.subject)


@admin.register(DataRequest)
class DataRequestAdmin(OfAccountAdmin):
    """Who took a copy of their data, whose account was deleted, and whether all of it is gone."""

    list_display = ("created_at", "kind", "user", "cleared_at", "done_at")
    list_filter = ("kind", "created_at", ("done_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_help_text = "Id of the request or of the account, or an e-mail address; a deleted account's only whole."
    fields = readonly_fields = ("id", "user", "kind", "created_at", "cleared_at", "done_at")

    def condition(self, sought: Sought) -> Q | None:
        if sought.email and (closed := keys(closing.deletions_of(sought.email))):
            return Q(pk__in=closed)
        return super().condition(sought)


def _verify(address: EmailAddress, wish: Wish) -> str:
    if not address.set_verified():
        raise AppError("conflict", "Another account has verified that address.")
    return f"{address.email} counts as verified."


class SignInAdmin(OfAccountAdmin):
    """What signing in leaves of an account; allauth's own pages of it show secrets and note no change."""

    list_select_related = ("user",)
    search_help_text = "E-mail or account id."

    def condition(self, sought: Sought) -> Q | None:
        return self.of_account(sought)


@admin.register(EmailAddress)
class EmailAddressAdmin(SignInAdmin):
    list_display = ("email", "user", "primary", "verified")
    list_filter = ("primary", "verified")
    fields = readonly_fields = ("of", "email", "primary", "verified")
    buttons = (
        Button(
            "verify", "Count as verified", "account.change_emailaddress", _verify,
            lambda address: {"verified": EmailAddress.objects.get(pk=address.pk).verified},
            lambda address: "It is verified." if address.verified else "",
        ),
    )  # fmt: skip


@admin.register(Authenticator)
class AuthenticatorAdmin(SignInAdmin):
    list_display = ("type", "user", "created_at", "last_used_at")
    list_filter = ("type", "created_at", "last_used_at")
    fields = readonly_fields = ("of", "type", "created_at", "last_used_at")


@admin.register(UserSession)
class UserSessionAdmin(SignInAdmin):
    list_display = ("user", "created_at", "last_seen_at", "ip", "user_agent")
    fields = readonly_fields = ("of", "created_at", "last_seen_at", "ip", "user_agent")

    def title(self, record: UserSession) -> str:
        return f"Session from {record.ip}"

    def detail(self, record: UserSession) -> str:
        return str(record.user_agent)
