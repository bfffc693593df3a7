from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('webhooks', '0005_found_by_account'),
    ]

    operations = [
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['user', 'state', '-created_at'], name='delivery_of_owner'),
        ),
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['endpoint', '-created_at'], name='delivery_by_endpoint'),
        ),
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['event', '-created_at'], name='delivery_by_event'),
        ),
    ]
