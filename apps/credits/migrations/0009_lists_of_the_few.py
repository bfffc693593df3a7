from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('credits', '0008_open_holds'),
    ]

    operations = [
        AddIndex(
            model_name='purchase',
            index=models.Index(fields=['status', '-created_at'], name='purchase_by_status'),
        ),
        AddIndex(
            model_name='stripeevent',
            index=models.Index(fields=['type', '-received_at'], name='event_by_type'),
        ),
        AddIndex(
            model_name='stripeevent',
            index=models.Index(condition=models.Q(('processed_at', None)), fields=['-received_at'], name='event_unprocessed'),
        ),
        AddIndex(
            model_name='auditrun',
            index=models.Index(condition=models.Q(('drifts', []), _negated=True), fields=['-started_at'], name='audit_drifted'),
        ),
    ]
