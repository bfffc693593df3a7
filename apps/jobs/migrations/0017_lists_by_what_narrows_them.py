import django.db.models.deletion
from django.db import migrations, models

from apps.indexes import AddIndex, DropFieldIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('accounts', '0006_lists_of_mails'),
        ('jobs', '0016_fewer_indexes'),
    ]

    operations = [
        AddIndex(
            model_name='job',
            index=models.Index(fields=['owner', '-created_at', 'id', 'status', 'model'], name='jobs_of_owner'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(fields=['project', '-created_at', 'id', 'status', 'model'], name='jobs_of_project'),
        ),
        AddIndex(
            model_name='job',
            index=models.Index(fields=['api_key', 'queued_at', 'charged'], name='job_by_key'),
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_list_of_owner',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_list_of_project',
        ),
        DropFieldIndex(
            model_name='job',
            name='api_key',
            field=models.ForeignKey(blank=True, db_index=False, help_text='Whose call set the credits aside; none: done in the browser.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='accounts.apikey', verbose_name='API key'),
        ),
    ]
