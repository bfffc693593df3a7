"""Addresses of the pages about webhooks."""

from django.urls import path

from apps.webhooks import views

urlpatterns = [
    path("webhooks", views.secret, name="webhooks"),
]
