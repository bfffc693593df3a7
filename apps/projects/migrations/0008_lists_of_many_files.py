from django.db import migrations, models
from django.db.models import Q

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('projects', '0007_who_asked_for_the_deletion'),
    ]

    operations = [
        AddIndex(
            model_name='asset',
            index=models.Index(condition=~Q(status='deleted'), fields=['status', '-created_at'], name='asset_by_status'),
        ),
        AddIndex(
            model_name='asset',
            index=models.Index(condition=Q(kind='background'), fields=['-created_at'], name='asset_pictures'),
        ),
        AddIndex(
            model_name='deletion',
            index=models.Index(fields=['rule', '-id'], name='deletion_by_rule'),
        ),
        AddIndex(
            model_name='deletion',
            index=models.Index(fields=['kind', '-id'], name='deletion_by_kind'),
        ),
    ]
