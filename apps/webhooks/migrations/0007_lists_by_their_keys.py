import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from apps.indexes import AddIndex, DropFieldIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('webhooks', '0006_lists_of_many_deliveries'),
    ]

    operations = [
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['user', '-created_at', 'id'], name='delivery_list_of_owner'),
        ),
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['user', 'state', '-created_at', 'id'], name='delivery_list_by_state'),
        ),
        AddIndex(
            model_name='delivery',
            index=models.Index(fields=['endpoint', '-created_at', 'id'], name='delivery_list_of_endpoint'),
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='delivery_by_owner',
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='delivery_of_owner',
        ),
        migrations.RemoveIndex(
            model_name='delivery',
            name='delivery_by_endpoint',
        ),
        DropFieldIndex(
            model_name='delivery',
            name='user',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        DropFieldIndex(
            model_name='delivery',
            name='endpoint',
            field=models.ForeignKey(db_index=False, help_text='None: of one job.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='webhooks.endpoint'),
        ),
    ]
