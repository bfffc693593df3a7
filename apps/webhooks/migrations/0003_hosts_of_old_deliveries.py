"""Forward: which host an old delivery goes to. Back: the secrets that the tables before could not hold."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.db import migrations


def name_hosts(apps: Any, schema_editor: Any) -> None:
    deliveries = apps.get_model("webhooks", "Delivery").objects
    for row in deliveries.filter(host="", state="pending").only("pk", "url").iterator():
        deliveries.filter(pk=row.pk).update(host=urlsplit(row.url).netloc.lower()[:300])


def drop_endpoint_secrets(apps: Any, schema_editor: Any) -> None:
    apps.get_model("webhooks", "SigningSecret").objects.exclude(endpoint=None).delete()


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0002_endpoints")]

    operations = [migrations.RunPython(name_hosts, drop_endpoint_secrets)]
