"""Records in the admin: searched by index, listed without counting them all, read, and changed by buttons only."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from apps.accounts import acts
from apps.accounts.acts import Button, Wish
from apps.accounts.models import User
from apps.accounts.sought import Sought, read
from apps.api.pagination import NarrowPaginator
from apps.errors import AppError

MOST_COUNTED = 10_000
"""Rows of a list: whoever wants to see more of them wants a filter."""
SHOWN_HITS = 5
"""Of each kind of record, on the page of what was found."""


class CappedPaginator(NarrowPaginator):
    @cached_property
    def count(self) -> int:
        """At most MOST_COUNTED: to count a million rows takes longer than to show fifty of them."""
        rows = cast("QuerySet[Model]", self.object_list)
        return rows.order_by().values("pk")[:MOST_COUNTED].count()


@dataclass(frozen=True, slots=True)
class Hit:
    record: Model
    url: str
    title: str
    detail: str
    is_itself: bool
    """The text was its own id, and not that of something it belongs to."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Of one kind."""

    name: str
    hits: list[Hit]
    more: str
    """Where all of them are listed."""


class RecordAdmin(admin.ModelAdmin):
    """Searched and read; nobody adds, changes or deletes, superusers included. Buttons call services."""

    actions = None
    buttons: tuple[Button, ...] = ()
    change_form_template: ClassVar[str | None] = "admin/record.html"
    change_list_template = "admin/records.html"
    list_per_page = 50
    paginator = CappedPaginator
    rank = 9
    """Where its hits stand on the page of what was found; the lowest first."""
    search_fields: ClassVar[tuple[str, ...]] = ("pk",)  # shows the box; what is looked up is `condition`'s
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    sortable_by: ClassVar[tuple[str, ...]] = ()
    """By no column: to sort a million rows takes longer than to show fifty of them. What is wanted is searched for."""

    def condition(self, sought: Sought) -> Q | None:
        """What to look for, by indexes only; None: the text can be no handle of these."""
        return sought.ids()

    def title(self, record: Any) -> str:
        return str(record)

    def detail(self, record: Any) -> str:
        return ""

    def account_of(self, record: Any) -> uuid.UUID | None:
        """Whose it is; kept with what staff did to it."""
        owner = getattr(record, "owner_id", None) or getattr(record, "user_id", None)
        return cast("uuid.UUID | None", owner)

    def ways(self, record: Any) -> list[tuple[str, str]]:
        """Links to what belongs to it: (words, address)."""
        return []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        sought = read(search_term)
        if not sought.text:
            return queryset, False
        condition = self.condition(sought)
        return queryset.filter(condition) if condition else queryset.none(), False

    def hits(self, request: HttpRequest, sought: Sought) -> Hits | None:
        """The newest few that the text may mean; None where there are none, or they may not be seen."""
        condition = self.condition(sought) if self.has_view_permission(request) else None
        if condition is None:
            return None
        rows = self.get_queryset(request).filter(condition)
        if isinstance(self.list_select_related, tuple):
            rows = rows.select_related(*(str(name) for name in self.list_select_related))
        rows = rows.order_by(*cast("tuple[str, ...]", self.opts.ordering))
        hits = [self._hit(record, sought) for record in rows[: SHOWN_HITS + 1]]
        more = f"{self._address('changelist')}?{urlencode({SEARCH_VAR: sought.text})}"
        name = str(self.opts.verbose_name_plural)
        return Hits(name, hits[:SHOWN_HITS], more if len(hits) > SHOWN_HITS else "") if hits else None

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_do"
        view = self.admin_site.admin_view(require_POST(self.press))
        return [path("<path:object_id>/do/<slug:name>/", view, name=name), *super().get_urls()]

    def press(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """One of the buttons; back to the record's page, with what came of it."""
        record = self.get_object(request, unquote(object_id))
        button = next((button for button in self.buttons if button.name == name), None)
        if record is None or button is None:
            raise Http404
        staff = request.user
        if not isinstance(staff, User) or not staff.has_perm(button.permission):
            raise PermissionDenied
        try:
            said = acts.press(button, record, _wish(request, staff, button), account=self.account_of(record))
        except AppError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
        else:
            self.message_user(request, said, messages.SUCCESS)
        return redirect(self._address("change", quote(record.pk)))

    def pressable(self, request: HttpRequest, record: Model) -> list[dict[str, Any]]:
        """The buttons that this member of staff has, as the page shows them; each with a number of its own."""
        mine = [button for button in self.buttons if request.user.has_perm(button.permission)]
        return [
            {
                "button": button,
                "url": self._address("do", quote(record.pk), button.name),
                "number": uuid.uuid4(),
                "why_not": button.refusal(record),
            }
            for button in mine
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if record := kwargs.get("obj"):
            context |= {
                "buttons": self.pressable(request, record),
                "acts": acts.of(record.pk) if request.user.has_perm("accounts.view_act") else (),
                "ways": self.ways(record),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _hit(self, record: Any, sought: Sought) -> Hit:
        url = self._address("change", quote(record.pk))
        pk = record.pk
        is_itself = isinstance(pk, uuid.UUID) and sought.is_of(pk)
        return Hit(record, url, self.title(record), self.detail(record), is_itself)

    def _address(self, view: str, *args: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}", args=args)


def _wish(request: HttpRequest, staff: User, button: Button) -> Wish:
    given = {field.name: request.POST.get(field.name, "").strip()[:100] for field in button.fields}
    try:
        number = uuid.UUID(request.POST.get("number", ""))
    except ValueError:
        raise AppError("invalid_request", "The page was incomplete: open it again.", param="number") from None
    return Wish(number, staff, request.POST.get("reason", ""), given)


def one_of(field: str, values: Iterable[str], *, title: str = "") -> type[admin.SimpleListFilter]:
    """A filter by a field's known values. Django's own asks the table for them, row by row, on every page."""
    told = [(value, value.replace("_", " ")) for value in values]

    class OneOf(admin.SimpleListFilter):
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return told

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            return queryset.filter(**{field: self.value()}) if self.value() else queryset

    OneOf.title = title or field.replace("_", " ")
    return OneOf


def link(kind: str, pk: object, words: object) -> SafeString | str:
    """To a record's page; `kind` as in `jobs_job`."""
    return format_html('<a href="{}">{}</a>', page(kind, pk), words) if pk else "–"


def page(kind: str, pk: Any) -> str:
    return reverse(f"admin:{kind}_change", args=[quote(pk)])


def listing(kind: str, text: object) -> str:
    """The list of what a text finds."""
    return f"{reverse(f'admin:{kind}_changelist')}?{urlencode({SEARCH_VAR: text})}"
