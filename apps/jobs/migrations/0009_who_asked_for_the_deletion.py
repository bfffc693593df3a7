from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0008_words_of_old_metadata'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='delete_request',
            field=models.CharField(blank=True, db_default='', default='', help_text='By which its media were to go, all at once.', max_length=64),
        ),
    ]
