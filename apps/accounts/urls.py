"""Addresses of the pages about your account; signing in and out is allauth's, under /accounts/."""

from django.conf import settings
from django.urls import path

from apps.accounts import views

urlpatterns = [
    path("keys", views.keys, name="keys"),
    path("keys/<uuid:key_id>", views.key, name="key"),
    path("keys/<uuid:key_id>/enable", views.enable, name="key-enable"),
    path("keys/<uuid:key_id>/rotate", views.rotate, name="key-rotate"),
    path("keys/<uuid:key_id>/disable", views.disable, name="key-disable"),
]
if settings.SANDBOX:
    urlpatterns.append(path("dev/mail", views.mail, name="mail"))
