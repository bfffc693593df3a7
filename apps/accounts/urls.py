"""Addresses of the pages about your account; signing in and out is allauth's, under /accounts/."""

from django.conf import settings
from django.urls import path

from apps.accounts import profile_views, views

urlpatterns = [
    path("account", profile_views.account, name="account"),
    path("account/sessions/end", profile_views.end_session, name="session-end"),
    path("keys", views.keys, name="keys"),
    path("keys/<uuid:key_id>", views.key, name="key"),
    path("keys/<uuid:key_id>/enable", views.enable, name="key-enable"),
    path("keys/<uuid:key_id>/rotate", views.rotate, name="key-rotate"),
    path("keys/<uuid:key_id>/disable", views.disable, name="key-disable"),
    path("notices", views.notices, name="notices"),
]
if settings.SANDBOX:
    urlpatterns += [
        path("dev/mail", views.mail, name="mail"),
        path("dev/mail/<slug:letter_id>", views.mail_html, name="mail-html"),
    ]
