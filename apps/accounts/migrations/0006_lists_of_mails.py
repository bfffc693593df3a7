import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from apps.indexes import AddIndex, DropFieldIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('accounts', '0005_acts_of_staff'),
    ]

    operations = [
        AddIndex(
            model_name='mail',
            index=models.Index(fields=['-created_at'], name='mail_by_age'),
        ),
        AddIndex(
            model_name='mail',
            index=models.Index(fields=['user', '-created_at'], name='mail_by_owner'),
        ),
        AddIndex(
            model_name='mail',
            index=models.Index(fields=['kind', '-created_at'], name='mail_by_kind'),
        ),
        AddIndex(
            model_name='mail',
            index=models.Index(condition=models.Q(('sent_at', None)), fields=['-created_at'], name='mail_unsent'),
        ),
        DropFieldIndex(
            model_name='mail',
            name='user',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
    ]
