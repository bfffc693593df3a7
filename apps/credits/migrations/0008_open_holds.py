from django.db import migrations, models
from django.db.models import Q

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('credits', '0007_ids_of_old_events'),
    ]

    operations = [
        AddIndex(
            model_name='hold',
            index=models.Index(condition=Q(state='open'), fields=['wallet', '-created_at'], name='open_hold_by_wallet'),
        ),
    ]
