from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0012_lists_by_their_keys")]

    operations = [
        # What is there already has been looked after by the rules of its time.
        migrations.AddField(
            model_name="attempt",
            name="is_cleared",
            field=models.BooleanField(default=True, help_text="What it left in the storage was looked for."),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="is_cleared",
            field=models.BooleanField(default=False, help_text="What it left in the storage was looked for."),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                fields=["ended_at"], name="attempt_to_clear", condition=models.Q(("is_cleared", False))
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="log",
            field=models.TextField(blank=True, help_text="Tail of the engine's, as it was last seen."),
        ),
    ]
