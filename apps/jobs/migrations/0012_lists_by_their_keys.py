from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('jobs', '0011_jobs_with_media'),
    ]

    operations = [
        AddIndex(
            model_name='job',
            index=models.Index(fields=['owner', '-created_at', 'id'], name='job_list_of_owner'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(fields=['project', '-created_at', 'id'], name='job_list_of_project'),
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_owner',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_project',
        ),
    ]
