"""Addresses of the pages about your account; signing in and out is allauth's, under /accounts/."""

from django.conf import settings
from django.urls import path

from apps.accounts import views

urlpatterns = [
    path("keys", views.keys, name="keys"),
    path("keys/<uuid:key_id>/disable", views.disable, name="key-disable"),
]
if settings.SANDBOX:
    urlpatterns.append(path("dev/mail", views.mail, name="mail"))
