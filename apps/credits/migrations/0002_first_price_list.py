"""Price list 1, so that a new installation has prices. Later lists are added in the admin or by a new migration."""

from datetime import datetime, timezone

from django.db import migrations


def add(apps, schema_editor):
    apps.get_model("credits", "PriceList").objects.create(
        version=1,
        starts_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        rates={"original": 60_00, "light": 45_00, "human": 45_00, "pro": 180_00},
        packs=[
            {"id": "starter", "name": "Starter", "credits": 100_00, "amount": 9_00, "currency": "usd"},
            {"id": "team", "name": "Team", "credits": 600_00, "amount": 45_00, "currency": "usd"},
            {"id": "studio", "name": "Studio", "credits": 3000_00, "amount": 180_00, "currency": "usd"},
        ],
        free_grant=20_00,
    )


def remove(apps, schema_editor):
    apps.get_model("credits", "PriceList").objects.filter(version=1).delete()


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
