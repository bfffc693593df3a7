import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from apps.indexes import AddIndex, DropFieldIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('jobs', '0015_jobs_by_need'),
        ('projects', '0008_lists_of_many_files'),
    ]

    operations = [
        AddIndex(
            model_name='job',
            index=models.Index(fields=['request_id'], name='job_by_request'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('error_code', ''), _negated=True), fields=['error_code', '-created_at'], name='job_by_error'),
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_lease',
        ),
        DropFieldIndex(
            model_name='job',
            name='owner',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to=settings.AUTH_USER_MODEL),
        ),
        DropFieldIndex(
            model_name='job',
            name='project',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='projects.project'),
        ),
        DropFieldIndex(
            model_name='job',
            name='request_id',
            field=models.CharField(blank=True, max_length=64),
        ),
        DropFieldIndex(
            model_name='job',
            name='error_code',
            field=models.CharField(blank=True, max_length=40),
        ),
    ]
