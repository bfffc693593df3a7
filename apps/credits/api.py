"""What you have and what things cost, over the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import requires
from apps.api.views import ApiViewSet
from apps.credits import prices, services
from apps.credits.amounts import to_credits


class Credits(serializers.Serializer[Any]):
    """In credits, with at most two decimals; `available` is `balance` less `held`."""

    balance = serializers.FloatField()
    held = serializers.FloatField()
    available = serializers.FloatField()


class Package(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    credits = serializers.FloatField()
    amount = serializers.IntegerField(help_text="In minor units of the currency: 900 is $9.")
    currency = serializers.CharField()


class Pricing(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    model_pricing_credits_per_minute = serializers.DictField(child=serializers.FloatField())
    packages = Package(many=True)
    limits = serializers.DictField(child=serializers.JSONField())
    free_grant = serializers.FloatField()


class CreditsViewSet(ApiViewSet):
    permission_classes = (requires("credits:read"),)

    @extend_schema(responses=Credits, tags=["credits"], operation_id="credits")
    def list(self, request: Request) -> Response:
        """Your balance, what is set aside for running jobs, and what is left."""
        wallet = services.open_wallet(self.user)
        amounts = {"balance": wallet.balance, "held": wallet.held, "available": wallet.available}
        return Response({name: to_credits(amount) for name, amount in amounts.items()})


class PricingViewSet(ApiViewSet):
    permission_classes = (AllowAny,)

    @extend_schema(responses=Pricing, tags=["credits"], operation_id="pricing")
    def list(self, request: Request) -> Response:
        """What each model costs a minute, the packs, the limits. Needs no key."""
        return Response(prices.public())
