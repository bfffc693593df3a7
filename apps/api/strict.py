"""Serializers that refuse what they do not know instead of passing over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict
from rest_framework import serializers


class StrictFields(serializers.Serializer[Any]):
    """The fields of a body or a query: an unknown one, or one given twice, is refused by its name."""

    def to_internal_value(self, data: Any) -> Any:
        for name in data if isinstance(data, Mapping) else ():
            if name not in self.fields:
                known = ", ".join(self.fields) or "none"
                raise serializers.ValidationError({name: f"unknown. Known here: {known}."})
            if isinstance(data, QueryDict) and len(data.getlist(name)) > 1:
                raise serializers.ValidationError({name: "given more than once."})
        # As plain values: DRF takes an empty one in a form for one left out.
        return super().to_internal_value(data.dict() if isinstance(data, QueryDict) else data)


class Text(serializers.CharField):
    """A JSON string; numbers are not turned into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("must be a string.")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON whole number; a text that looks like one is not turned into it, and neither is true."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError("must be a whole number.")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of a few words; a refusal lists them."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"must be one of {', '.join(map(str, self.choices))}.")
        return data
