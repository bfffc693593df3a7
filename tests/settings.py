"""The real settings on a temporary data folder, with fast hashing and nothing from the caller's environment."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

KEEP = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "REQUIRE_ALL", "CI", "VIRTUAL_ENV", "TEST_DATABASE_URL")
for name in [name for name in os.environ if name not in KEEP and not name.startswith(("PYTEST", "COV"))]:
    del os.environ[name]

TEST_DIR = Path(tempfile.mkdtemp(prefix="clearmatte-test-"))
atexit.register(shutil.rmtree, TEST_DIR, ignore_errors=True)
os.environ.update(DATA_DIR=str(TEST_DIR), SANDBOX="1", SITE_URL="http://testserver")
if "TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]

from config.settings import *  # noqa: E402, F403
from config.settings import BASE_DIR, DATABASES, RQ_QUEUES, STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
(TEST_DIR / "static").mkdir(exist_ok=True)  # whitenoise warns when it is missing
# A file, because SQLite's in-memory test database answers "table is locked" to a second thread.
if "TEST_DATABASE_URL" not in os.environ:
    DATABASES["default"]["TEST"] = {"NAME": TEST_DIR / "test.sqlite3"}
MODELS_DIR = BASE_DIR / "data" / "models"
LEASE_SECONDS = 5
QUEUE_SEEN_SECONDS = 0
PREVIEW_WORKERS = 0  # each process costs a house of tests seconds; its other workers take previews too
# Nobody answers there, unless a test starts a queue server on it (tests/queue_server.py).
for queue in RQ_QUEUES.values():
    queue["URL"] = f"unix://{TEST_DIR / 'queue.sock'}"
