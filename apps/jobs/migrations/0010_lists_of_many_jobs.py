from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('jobs', '0009_who_asked_for_the_deletion'),
    ]

    operations = [
        AddIndex(
            model_name='job',
            index=models.Index(fields=['owner', 'status', 'model', '-created_at'], name='job_of_owner'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(fields=['project', 'status', 'model', '-created_at'], name='job_of_project'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(fields=['output_format', '-created_at'], name='job_by_format'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(
                fields=['owner', 'completed_at', 'status', 'model', 'project', 'api_key', 'held_seconds', 'charged'], name='job_by_use'
            ),
        ),
    ]
