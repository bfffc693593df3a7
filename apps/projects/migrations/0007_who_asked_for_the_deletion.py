from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0006_found_by_name'),
    ]

    operations = [
        migrations.AddField(
            model_name='asset',
            name='delete_request',
            field=models.CharField(blank=True, db_default='', default='', help_text='By which it was to go, with many others.', max_length=64),
        ),
    ]
