from django.db import migrations, models

from apps.indexes import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('projects', '0008_lists_of_many_files'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='deletion',
            options={'ordering': ('-created_at', '-id')},
        ),
        AddIndex(
            model_name='deletion',
            index=models.Index(fields=['rule', '-created_at'], name='deletion_of_rule'),
        ),
        AddIndex(
            model_name='deletion',
            index=models.Index(fields=['kind', '-created_at'], name='deletion_of_kind'),
        ),
        AddIndex(
            model_name='project',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['-created_at'], name='project_deleted'),
        ),
        migrations.RemoveIndex(
            model_name='deletion',
            name='deletion_by_rule',
        ),
        migrations.RemoveIndex(
            model_name='deletion',
            name='deletion_by_kind',
        ),
    ]
