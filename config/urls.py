"""The whole site's addresses: pages at /, the API under /v1/, admin, health and docs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.routers import SimpleRouter

from apps.accounts.urls import urlpatterns as accounts_pages
from apps.api.docs import GUIDES, DocsView, SchemaView, guide
from apps.api.errors import unknown_address
from apps.credits.api import CreditsViewSet, PricingViewSet
from apps.credits.urls import urlpatterns as credits_pages
from apps.credits.webhook import stripe_webhook
from apps.jobs.api import JobsViewSet
from apps.jobs.projects_api import ProjectsViewSet
from apps.jobs.urls import urlpatterns as jobs_pages
from apps.jobs.usage_api import UsageViewSet
from apps.ops.models_page import models_page
from apps.projects.api import PartsViewSet, UploadsViewSet
from apps.projects.media import media
from apps.projects.urls import urlpatterns as projects_pages
from apps.webhooks.api import DeliveriesViewSet, WebhooksViewSet
from apps.webhooks.urls import urlpatterns as webhooks_pages

v1 = SimpleRouter(trailing_slash=False, use_regex_path=False)
v1.register("uploads", UploadsViewSet, basename="upload")
v1.register("jobs", JobsViewSet, basename="job")
v1.register("projects", ProjectsViewSet, basename="project")
v1.register("webhooks/deliveries", DeliveriesViewSet, basename="delivery")
v1.register("webhooks", WebhooksViewSet, basename="webhook")
v1.register("credits", CreditsViewSet, basename="credits")
v1.register("usage", UsageViewSet, basename="usage")
v1.register("pricing", PricingViewSet, basename="pricing")

pages = [
    *accounts_pages,
    *credits_pages,
    *projects_pages,
    *jobs_pages,
    *webhooks_pages,
]
"""What people see; one namespace, so that templates need not know which app a page lives in."""

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/models", admin.site.admin_view(models_page), name="admin-models"),
    path("admin/", admin.site.urls),
    path("stripe/webhook", stripe_webhook, name="stripe-webhook"),
    path("v1/openapi.json", SchemaView.as_view(), name="openapi"),
    path("v1/uploads/<uuid:pk>/parts/<int:number>", PartsViewSet.as_view({"put": "receive"}, schema=None), name="part"),
    path("v1/", include(v1.urls)),
    path("api/pricing", PricingViewSet.as_view({"get": "list"}, schema=None)),
    re_path(r"^(?:v1|api)(?:/.*)?$", unknown_address),
    path("docs", DocsView.as_view(url_name="openapi"), name="docs"),
    *[path(f"docs/{name}.md", guide, {"name": name}, name="guide") for name in GUIDES],
    path("", include("apps.ops.urls")),
    path("media/<path:name>", media, name="media"),
    path("accounts/", include("allauth.urls")),
    path("", include((pages, "web"))),
]

handler500 = "apps.ops.views.fault"
