"""Addresses of the pages about webhooks."""

from django.urls import path

from apps.webhooks import views

urlpatterns = [
    path("webhooks", views.webhooks, name="webhooks"),
    path("webhooks/secret", views.account_secret, name="webhooks-secret"),
    path("webhooks/rotate", views.rotate_account_secret, name="webhooks-rotate"),
    path("webhooks/deliveries", views.deliveries, name="webhook-deliveries"),
    path("webhooks/deliveries/<uuid:delivery_id>", views.delivery, name="webhook-delivery"),
    path("webhooks/deliveries/<uuid:delivery_id>/replay", views.replay, name="webhook-replay"),
    path("webhooks/<uuid:endpoint_id>", views.webhook, name="webhook"),
    path("webhooks/<uuid:endpoint_id>/secret", views.secret, name="webhook-secret"),
    path("webhooks/<uuid:endpoint_id>/rotate", views.rotate, name="webhook-rotate"),
    path("webhooks/<uuid:endpoint_id>/enable", views.enable, name="webhook-enable"),
    path("webhooks/<uuid:endpoint_id>/disable", views.disable, name="webhook-disable"),
    path("webhooks/<uuid:endpoint_id>/test", views.test, name="webhook-test"),
    path("webhooks/<uuid:endpoint_id>/delete", views.delete, name="webhook-delete"),
]
