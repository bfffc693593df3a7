"""Events that came before their ids had columns of their own are found by them too."""

from django.db import migrations


def fill(apps, schema_editor):
    events = apps.get_model("credits", "StripeEvent").objects.filter(subject="")
    for event in events.iterator():
        subject = (event.payload.get("data") or {}).get("object") or {}
        found = {"subject": subject.get("id"), "payment_intent": subject.get("payment_intent")}
        for name, text in found.items():
            setattr(event, name, text[:120] if isinstance(text, str) else "")
        event.save(update_fields=["subject", "payment_intent"])


class Migration(migrations.Migration):
    dependencies = [("credits", "0006_returns_and_stripe_ids")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
