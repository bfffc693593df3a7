"""Every setting, once, from the environment. With none set: SQLite, local files, loopback only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from apps.engine.cores import MOST_THREADS
from config.environment import BASE_DIR, Environment, embedded_queue, kept_secret, public_origins, version

env = Environment()
environ.Env.read_env(BASE_DIR / ".env")

# --- where it runs -----------------------------------------------------------------------------
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).expanduser().resolve()
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
if not 0 < PORT < 65536:
    raise ImproperlyConfigured(f"PORT must be between 1 and 65535, not {PORT}.")
SITE_URL = env.str("SITE_URL", default=f"http://{'127.0.0.1' if HOST == '0.0.0.0' else HOST}:{PORT}").rstrip("/")
if not SITE_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"SITE_URL must begin with http:// or https://, unlike {SITE_URL!r}.")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SANDBOX = env.bool("SANDBOX", default=False)
if SANDBOX and HOST not in LOOPBACK:
    raise ImproperlyConfigured(
        f"SANDBOX=1 gives away credits and opens the admin without MFA, so it runs on loopback only, not on {HOST}. "
        "To try things on this machine leave HOST out. To serve others set SANDBOX=0 and SITE_URL to the address they "
        "will use: make run HOST=0.0.0.0 SANDBOX=0 SITE_URL=https://cutout.example.org (docs/operations.md)."
    )
DEBUG = False
SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret(DATA_DIR / "secret_key")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[SITE_URL.split("://")[1].split(":")[0].split("/")[0], *LOOPBACK])
CSRF_TRUSTED_ORIGINS = [SITE_URL]
VERSION = version()

# --- parts -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "apps.ops",
    "apps.jobs",
    "apps.projects",
    "apps.credits",
    "apps.webhooks",
    "apps.accounts",
    "apps.api",
    "apps.accounts.admin_config.GuardedAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "django_rq",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
]
MIDDLEWARE = [
    "apps.ops.wire.SilentSenderMiddleware",
    "apps.api.request_id.RequestIdMiddleware",
    "apps.api.errors.EnvelopeMiddleware",
    "apps.ops.wire.ClientAddressMiddleware",
    "apps.ops.wire.BrowserHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "apps.api.turnstile.TurnstileMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
SITE_ID = 1
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- stores ------------------------------------------------------------------------------------
DATABASES: dict[str, Any] = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # IMMEDIATE takes the write lock at BEGIN: without it 83 % of racing
    # debits fail at once with "database is locked" instead of waiting.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
        "PRAGMA journal_size_limit=27103364; PRAGMA cache_size=2000",
    }
else:
    # A connection that a restart of the server broke is found out and replaced, not handed to a request.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # Added to what the URL's query says (host=, sslmode=), not instead of it.
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 0,
        "max_size": env.int("DATABASE_POOL", default=8),
        # Left to itself it asks a database that is away after ever longer pauses, up to minutes, and who waits for it
        # does so for half a minute: the site would stay away long after its database is back.
        "timeout": 10.0,
        "reconnect_timeout": 2.0,
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL_GIVEN = env.str("REDIS_URL", default="")
EMBEDDED_REDIS_URL = embedded_queue(DATA_DIR)
REDIS_URL = REDIS_URL_GIVEN or EMBEDDED_REDIS_URL
RQ_QUEUES = {
    name: {
        "URL": REDIS_URL or "redis://127.0.0.1:6379/0",
        "SERIALIZER": "rq.serializers.JSONSerializer",
        "DEFAULT_TIMEOUT": -1,
    }
    for name in ("preview", "cpu", "gpu", "default", "webhooks")
}
"""Three carry jobs by what they need, `default` imports and mail, `webhooks` deliveries: none delays another."""
RQ = {"COMMIT_MODE": "on_db_commit"}
RQ_SHOW_ADMIN_LINK = False  # its screens act on the queue past the services, and part of them without a second factor

STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": DATA_DIR / "files"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "media": {"BACKEND": "apps.projects.local.LocalMedia", "OPTIONS": {"location": DATA_DIR / "media"}},
}
S3_BUCKET = env.str("S3_BUCKET", default="")
S3 = {
    "bucket_name": S3_BUCKET,
    "endpoint_url": env.str("S3_ENDPOINT_URL", default="") or None,
    "public_endpoint_url": env.str("S3_PUBLIC_ENDPOINT_URL", default="") or None,
    "region_name": env.str("S3_REGION", default="") or None,
    "access_key": env.str("S3_ACCESS_KEY", default="") or None,
    "secret_key": env.str("S3_SECRET_KEY", default="") or None,
    "addressing_style": env.one_of("S3_ADDRESSING_STYLE", "auto", "path", "virtual"),
}
if S3_BUCKET:
    STORAGES["media"] = {"BACKEND": "apps.projects.s3.S3Media", "OPTIONS": S3}
UPLOADS_DIR = DATA_DIR / "uploads"  # parts of unfinished uploads, when media are local files
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
# Compressing what no browser asks for was most of the first start: source maps, and a second copy of each file.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ("map", "gz", "br", "png", "jpg", "gif", "webp", "webm", "mp4", "woff", "woff2")
SCRATCH_DIR = DATA_DIR / "scratch"
SCRATCH_DIR.mkdir(parents=True, exist_ok=True)
MODELS_DIR = DATA_DIR / "models"
MEDIA_URL_SECONDS = 3600

# --- people ------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional" if SANDBOX else "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_ADAPTER = "apps.accounts.adapter.AccountAdapter"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Clearmatte"
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "web:new"
ACCOUNT_LOGOUT_REDIRECT_URL = "web:home"
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
if SANDBOX:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = DATA_DIR / "mail"
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Clearmatte <noreply@localhost>")

# --- the wire ----------------------------------------------------------------------------------
IS_HTTPS = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not SANDBOX
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
if not SANDBOX:  # browsers take such a cookie from this very host and over TLS only
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_SSL_REDIRECT = IS_HTTPS and not SANDBOX
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics$"]  # asked from within, past the proxy
TRUST_PROXY = env.bool("TRUST_PROXY", default=False)
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
MEDIA_ORIGINS = env.list("S3_PUBLIC_ORIGINS", default=public_origins(S3) if S3_BUCKET else [])
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:", *MEDIA_ORIGINS],
        "media-src": ["'self'", "blob:", *MEDIA_ORIGINS],
        "connect-src": ["'self'", *MEDIA_ORIGINS],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
FILE_UPLOAD_TEMP_DIR = SCRATCH_DIR
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.accounts.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.api.pagination.LimitOffsetPagination",
    "DEFAULT_SCHEMA_CLASS": "apps.api.schema.Schema",
    "EXCEPTION_HANDLER": "apps.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Clearmatte",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without it Swagger UI asks a server elsewhere to validate the schema.
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None},
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["apps.api.schema.describe"],
}
API_WRITES_PER_MINUTE = env.int("API_WRITES_PER_MINUTE", default=60)
API_READS_PER_MINUTE = env.int("API_READS_PER_MINUTE", default=600)
WEB_WORKERS = env.int("WEB_WORKERS", default=2)
WEB_THREADS = env.int("WEB_THREADS", default=64)
WEB_AT_ONCE = env.int("WEB_AT_ONCE", default=2)
LONG_POLLS = max(1, WEB_THREADS * 3 // 4)  # who waits for a job (?wait=) holds a thread; some must stay free
EGRESS_ALLOW = env.list("EGRESS_ALLOW", default=[])

# --- the work ----------------------------------------------------------------------------------
WORKERS = env.int("WORKERS", default=1)
WORKER_QUEUES = env.some_of("WORKER_QUEUES", "preview", "cpu", "gpu")  # what those take, the preferred first
PREVIEW_WORKERS = env.int("PREVIEW_WORKERS", default=1)  # beside them, for nothing else
ENGINE_THREADS = env.int("ENGINE_THREADS", default=0)  # 0: all cores this process may use
if not 0 <= ENGINE_THREADS <= MOST_THREADS:
    raise ImproperlyConfigured(f"ENGINE_THREADS must be between 0 and {MOST_THREADS}, not {ENGINE_THREADS}.")
ENGINE_DEVICE = env.one_of("ENGINE_DEVICE", "auto", "cpu", "cuda")
ENGINE_PRECISION = env.one_of("ENGINE_PRECISION", "auto", "fp32", "fp16", "int8")
MODEL_LICENCES = env.one_of("MODEL_LICENCES", "all", "permissive")
MODEL_SOURCE_DIR = env.str("MODEL_SOURCE_DIR", default="")
ALIVE_FILE = env.str("ALIVE_FILE", default="")
SCRATCH_BYTES = env.int("SCRATCH_BYTES", default=0)  # of SCRATCH_DIR, all that work in it together; 0: its disk
LEASE_SECONDS = env.int("LEASE_SECONDS", default=30)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", default=3)
MAX_JOBS_AT_ONCE = env.int("MAX_JOBS_AT_ONCE", default=3)  # of one account; more wait in the queue
QUEUE_SEEN_SECONDS = 1.0  # how old the place in the queue may be that a waiting job tells
JOB_TIMEOUT_SECONDS = env.int("JOB_TIMEOUT_SECONDS", default=3600)  # and for each frame of the video:
JOB_TIMEOUT_SECONDS_PER_FRAME = env.float("JOB_TIMEOUT_SECONDS_PER_FRAME", default=10.0)
# Far longer than loading a network or its slowest frame takes.
JOB_STALL_SECONDS = env.int("JOB_STALL_SECONDS", default=1800)
RESULT_DAYS = env.int("RESULT_DAYS", default=7)
SOURCE_HOURS = env.int("SOURCE_HOURS", default=24)
WEBHOOK_LOG_DAYS = env.int("WEBHOOK_LOG_DAYS", default=30)
MAX_UPLOAD_BYTES = env.int("MAX_UPLOAD_BYTES", default=500 * 1000 * 1000)
MAX_SECONDS = env.int("MAX_SECONDS", default=600)
MAX_SIDE = env.int("MAX_SIDE", default=4096)
MAX_FPS = env.int("MAX_FPS", default=240)
MAX_BACKGROUND_BYTES = env.int("MAX_BACKGROUND_BYTES", default=20 * 1000 * 1000)
MAX_UNFINISHED_UPLOADS = env.int("MAX_UNFINISHED_UPLOADS", default=20)  # of one account, in parts
UPLOAD_HOURS = env.int("UPLOAD_HOURS", default=24)  # to bring all parts of one
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
SENTRY_DSN = env.str("SENTRY_DSN", default="")
SEVERAL_HOSTS = env.bool("SEVERAL_HOSTS", default=False)

# --- money -------------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRETS = env.list("STRIPE_WEBHOOK_SECRETS", default=[])
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="")
STRIPE_TAX = env.bool("STRIPE_TAX", default=False)
STRIPE_INVOICES = env.bool("STRIPE_INVOICES", default=False)
if STRIPE_API_BASE and not SANDBOX:
    raise ImproperlyConfigured(
        "STRIPE_API_BASE puts something else in Stripe's place, which could give credits away: leave it out."
    )
if SANDBOX and STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
    raise ImproperlyConfigured(
        "SANDBOX=1 is for trying things and must not move real money: use a test key (sk_test_…)."
    )
STRIPE_FAKE_PORT = env.int("STRIPE_FAKE_PORT", default=0) or (PORT + 1 if PORT < 65535 else PORT - 1)
STRIPE_IS_FAKE = SANDBOX and not STRIPE_SECRET_KEY
if STRIPE_IS_FAKE:
    STRIPE_SECRET_KEY = "sk_test_sandbox"
    STRIPE_API_BASE = STRIPE_API_BASE or f"http://127.0.0.1:{STRIPE_FAKE_PORT}"
    STRIPE_WEBHOOK_SECRETS = STRIPE_WEBHOOK_SECRETS or [kept_secret(DATA_DIR / "fakestripe" / "webhook_secret")]

# --- words -------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_FORMAT = env.one_of("LOG_FORMAT", *(("text", "json") if SANDBOX else ("json", "text")))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "apps.ops.logs.Formatter",
            "format": "%(asctime)s %(levelname)s %(name)s request=%(request_id)s %(message)s",
        },
        "json": {"()": "apps.ops.logs.JsonFormatter"},
    },
    "filters": {"request_id": {"()": "apps.api.request_id.RequestIdFilter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["request_id"]}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # Its INFO lines carry whole URLs, session ids included.
    "loggers": {"stripe": {"level": "WARNING"}},
}
