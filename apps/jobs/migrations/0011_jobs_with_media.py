from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('jobs', '0010_lists_of_many_jobs'),
    ]

    operations = [
        AddIndex(
            model_name='job',
            index=models.Index(fields=['project', '-expires_at'], name='job_with_media'),
        ),
    ]
