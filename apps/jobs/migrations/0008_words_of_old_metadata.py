"""Jobs that came before their metadata was indexed are found by it too."""

from django.db import migrations


def words(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).strip():
        yield str(value).strip()[:200]


def fill(apps, schema_editor):
    word = apps.get_model("jobs", "MetadataWord")
    jobs = apps.get_model("jobs", "Job").objects.exclude(metadata={}).filter(metadata_words=None)
    for pk, metadata in jobs.values_list("pk", "metadata").iterator():
        found = list(dict.fromkeys(words(metadata)))[:50]
        word.objects.bulk_create([word(job_id=pk, text=text) for text in found])


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_attempts_and_callers")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
