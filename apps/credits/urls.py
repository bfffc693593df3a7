"""Addresses of the pages about credits."""

from django.urls import path

from apps.credits import views

urlpatterns = [
    path("credits", views.credits, name="credits"),
    path("credits/buy", views.buy, name="buy"),
    path("credits/paid", views.paid, name="paid"),
    path("credits/unpaid", views.unpaid, name="unpaid"),
    path("credits/portal", views.portal, name="portal"),
    path("credits/threshold", views.threshold, name="threshold"),
    path("credits/purchases/<uuid:purchase_id>", views.purchase, name="purchase"),
    path("credits/purchases/<uuid:purchase_id>/receipt", views.receipt, name="receipt"),
]
