from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0014_room_in_scratch")]

    operations = [
        migrations.AddField(
            model_name="job",
            name="need",
            field=models.CharField(
                db_default="cpu", default="cpu", help_text="Of its worker: preview, cpu or gpu.", max_length=10
            ),
        ),
    ]
