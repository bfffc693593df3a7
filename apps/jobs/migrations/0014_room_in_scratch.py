from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0013_attempts_are_cleared")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="scratch_bytes",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="That a worker may need of its disk, about and at most; 0 is not known.",
            ),
        ),
    ]
