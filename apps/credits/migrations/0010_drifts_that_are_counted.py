from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('credits', '0009_lists_of_the_few'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditrun',
            name='more',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Drifts that were counted and not kept.'),
        ),
    ]
