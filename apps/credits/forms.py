"""Forms about money: a price list as staff write it (in credits and in money, not in hundredths), and the threshold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone

from apps.credits import prices
from apps.credits.amounts import MAX_CREDITS, from_credits, to_credits
from apps.credits.models import PriceList, Wallet
from apps.credits.money import from_minor, to_minor
from apps.engine.options import MODELS
from apps.errors import AppError

PACKS = 6
"""Rows for packs in the form; an empty one is no pack."""


def credits_field(**how: Any) -> forms.DecimalField:
    return forms.DecimalField(min_value=how.pop("min_value", 0), max_value=MAX_CREDITS, decimal_places=2, **how)


class PriceListForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new list opens as a copy of the one in force, so that only what changes is typed."""

    currency = forms.RegexField(r"^[a-z]{3}$", max_length=3, help_text="Of all packs: usd, eur, gbp…")
    grant = credits_field(label="free grant", help_text="Credits for a new account.")

    class Meta:
        model = PriceList
        fields = ("starts_at", "preview_allowance")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        source = self.instance if self.instance.pk else prices.current()
        self.initial = {**as_typed(source), "starts_at": timezone.now(), **self.initial}
        if self.instance.pk:
            self.initial["starts_at"] = self.instance.starts_at
        if field := self.fields.get("starts_at"):
            field.help_text = "UTC. Jobs priced before keep their list. A moment that has passed means now."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.errors:
            return cleaned
        cleaned["starts_at"] = max(cleaned["starts_at"], timezone.now())
        row = self.instance
        row.rates = {model: from_credits(cleaned[f"rate_{model}"]) for model in MODELS}
        row.free_grant = from_credits(cleaned["grant"])
        row.packs = [pack for number in range(1, PACKS + 1) if (pack := self._pack(number, cleaned))]
        if not row.packs:
            raise ValidationError("A list has at least one pack.")
        if not row.pk:
            row.version = (PriceList.objects.order_by("-version").values_list("version", flat=True).first() or 0) + 1
        return cleaned

    def add_error(self, field: str | None, error: Any) -> None:
        """What the model says of its own fields, which this form has not, is said of the whole list."""
        if field is None and isinstance(error, ValidationError) and hasattr(error, "error_dict"):
            strange = [name for name in error.error_dict if name not in self.fields]
            said = {name: errors for name, errors in error.error_dict.items() if name in self.fields}
            if strange and not self.errors:
                said[NON_FIELD_ERRORS] = [each for name in strange for each in error.error_dict[name]]
            error = ValidationError(said)
        super().add_error(field, error)

    def _pack(self, number: int, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        typed: dict[str, Any] = {
            name: cleaned.get(f"pack{number}_{name}") for name in ("id", "name", "credits", "price")
        }
        if not any(typed.values()):
            return None
        if not all(typed.values()):
            self.add_error(f"pack{number}_id", "A pack needs an id, a name, credits and a price.")
            return None
        return {
            "id": typed["id"],
            "name": typed["name"],
            "credits": from_credits(typed["credits"]),
            "amount": to_minor(Decimal(typed["price"]), cleaned["currency"]),
            "currency": cleaned["currency"],
        }


def _rows() -> dict[str, forms.Field]:
    rows: dict[str, forms.Field] = {}
    for model in MODELS:
        rows[f"rate_{model}"] = credits_field(min_value=Decimal("0.01"), label=model, help_text="Credits a minute.")
    for number in range(1, PACKS + 1):
        rows[f"pack{number}_id"] = forms.SlugField(max_length=40, required=False, label="id")
        rows[f"pack{number}_name"] = forms.CharField(max_length=40, required=False, label="name")
        rows[f"pack{number}_credits"] = credits_field(required=False, label="credits")
        rows[f"pack{number}_price"] = forms.DecimalField(
            min_value=0, max_digits=10, decimal_places=2, required=False, label="price"
        )
    return rows


# One for each model and pack, so they are counted, not written out; a form made from this one takes the declared.
PriceListForm.base_fields |= _rows()
PriceListForm.declared_fields |= _rows()


def as_typed(price_list: PriceList) -> dict[str, Any]:
    """A list as the form shows it."""
    shown: dict[str, Any] = {
        "currency": price_list.currency,
        "grant": to_credits(price_list.free_grant),
        "preview_allowance": price_list.preview_allowance,
        **{f"rate_{model}": to_credits(rate) for model, rate in price_list.rates.items()},
    }
    for number, pack in enumerate(price_list.packs, start=1):
        shown |= {
            f"pack{number}_id": pack["id"],
            f"pack{number}_name": pack["name"],
            f"pack{number}_credits": to_credits(pack["credits"]),
            f"pack{number}_price": from_minor(pack["amount"], pack["currency"]),
        }
    return shown


class ThresholdForm(forms.Form):
    """When to be told that credits run low."""

    threshold = forms.CharField(max_length=20)

    def clean_threshold(self) -> int:
        try:
            amount = from_credits(self.cleaned_data["threshold"], param="threshold")
        except AppError as refusal:
            raise ValidationError(refusal.message) from refusal
        if amount < 0:
            raise ValidationError("The threshold is 0 (never tell me) or more.")
        return amount

    def save(self, wallet: Wallet) -> None:
        Wallet.objects.filter(pk=wallet.pk).update(low_threshold=self.cleaned_data["threshold"])
