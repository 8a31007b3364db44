"""
Every setting of Bellhop, read from the environment, top to bottom.

`.env.example` lists each name with its default; SETUP.md says what to set in production. A wrong
value refuses to start: see core/checks.py.
"""

import secrets
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from core import embedded

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")

# --- What this process is -------------------------------------------------------------------------
DEMO: bool = env.bool("DEMO", False)
DEBUG: bool = env.bool("DEBUG", False)
# Only the demo has a built-in key.
SECRET_KEY: str = env.str("SECRET_KEY", "demo-key-not-for-production" if DEMO else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY to a long random string, or DEMO=1 to try Bellhop on this machine.")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / ".data"))).absolute()
HTTP_PORT: int = env.int("HTTP_PORT", 8000)
WS_PORT: int = env.int("WS_PORT", 8001)
# Where the inbox page finds the sockets; empty: at its own host, on WS_PORT.
WS_URL: str = env.str("WS_URL", "")
# Where browsers find us, full origins; also the e-mail links' base (the first one).
PUBLIC_URL: str = env.str("PUBLIC_URL", f"http://localhost:{HTTP_PORT}")
ALLOWED_ORIGINS: list[str] = env.list("ALLOWED_ORIGINS", default=[PUBLIC_URL, f"http://127.0.0.1:{HTTP_PORT}"])

# --- PostgreSQL is the truth, Redis carries hints ---------------------------------------------------
_embedded = embedded.urls(data_dir=DATA_DIR)
DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL", _embedded.database_url)}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", 300)
# A server restart otherwise leaves dead connections in long-lived workers.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
if ca_file := env.str("DATABASE_CA_FILE", ""):
    DATABASES["default"]["OPTIONS"] |= {"sslmode": "verify-full", "sslrootcert": ca_file}
REDIS_URL: str = env.str("REDIS_URL", _embedded.redis_url)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Django -------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "core",
    "notifications",
    "delivery",
    "workers",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "anymail",
    "channels",
    "corsheaders",
    "csp",
    "django_celery_beat",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
]
MIDDLEWARE = [
    "core.logs.TraceMiddleware",
    "core.api.LengthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]
ROOT_URLCONF = "core.urls"
WSGI_APPLICATION = "core.wsgi.application"
ASGI_APPLICATION = "core.asgi.application"
AUTH_USER_MODEL = "core.User"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEMO
LOGIN_URL = LOGOUT_REDIRECT_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
UNFOLD = {
    "SITE_TITLE": "Bellhop",
    "SITE_HEADER": "Bellhop",
    "SITE_SYMBOL": "notifications",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}core/icon.svg"}],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024  # a batch of 1,000 events; above it the API answers 413

# --- Browsers: cookies, origins, what a page may load --------------------------------------------------
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
# Set behind a proxy that ends TLS and overwrites this header; never set when anyone can reach us directly.
BEHIND_TLS_PROXY: bool = env.bool("BEHIND_TLS_PROXY", False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = _https
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
X_FRAME_OPTIONS = "DENY"
CSRF_TRUSTED_ORIGINS = ALLOWED_ORIGINS
CORS_ALLOWED_ORIGINS = ALLOWED_ORIGINS
CORS_ALLOW_CREDENTIALS = True
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "if-match", "x-csrftoken", "x-request-id"]
CORS_EXPOSE_HEADERS = ["etag", "retry-after", "x-request-id"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "connect-src": ["'self'", "ws:", "wss:"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "object-src": ["'none'"],
    },
    # The admin's own scripts are inline and evaluated (Alpine); it serves staff, and shows what people wrote as text.
    "EXCLUDE_URL_PREFIXES": ("/admin/",),
}

# --- REST ------------------------------------------------------------------------------------------------
TOKEN_TTL = timedelta(days=env.int("TOKEN_TTL_DAYS", 30))
TICKET_TTL = timedelta(minutes=10)  # CONTRACT: at most 10 minutes
REST_KNOX = {"TOKEN_TTL": TOKEN_TTL, "AUTH_HEADER_PREFIX": "Bearer", "AUTO_REFRESH": False}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "core.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["core.bodies.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.bodies.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["core.throttles.RateThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.api.handle_exception",
    # How many X-Forwarded-For entries are our own proxies': with none, the header is anybody's invention.
    "NUM_PROXIES": 1 if BEHIND_TLS_PROXY else 0,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
RATE_LOGIN: str = env.str("RATE_LOGIN", "10/min")  # per address and user name
RATE_API: str = env.str("RATE_API", "6000/min")  # per user, every endpoint together
SPECTACULAR_SETTINGS = {
    "TITLE": "Bellhop",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["core.openapi.add_components"],
}

# --- Delivery ----------------------------------------------------------------------------------------------
# Mail by an e-mail service provider: a backend of django-anymail, or any of Django's own (the console's).
EMAIL_ESP: str = env.str("EMAIL_ESP", "")
# Its keys, as anymail's pages name them.
ANYMAIL: dict[str, Any] = {"IGNORE_UNSUPPORTED_FEATURES": True}  # an ESP without metadata still sends mail
try:
    ANYMAIL |= env.json("ANYMAIL", {})
except (ValueError, TypeError):
    raise ImproperlyConfigured('ANYMAIL must be a JSON object, like {"POSTMARK_SERVER_TOKEN": "..."}.') from None
# Without a secret anymail would believe anybody's webhook; so there is one that nobody knows.
ANYMAIL["WEBHOOK_SECRET"] = ANYMAIL.get("WEBHOOK_SECRET") or f"nobody:{secrets.token_hex(32)}"
_carriers = {"smtp": "delivery.providers.smtp.SMTPProvider", "esp": "delivery.providers.anymail.AnymailProvider"}
EMAIL_PROVIDERS: list[str] = env.list("EMAIL_PROVIDERS", default=["esp" if EMAIL_ESP else "smtp"])
if not EMAIL_PROVIDERS or not set(EMAIL_PROVIDERS) <= set(_carriers):
    raise ImproperlyConfigured("EMAIL_PROVIDERS must be smtp, esp or both, in the order in which they are asked.")

# A channel is switched on by naming it here; adding one is a class and an entry.
DELIVERY_CHANNELS: dict[str, dict[str, Any]] = {
    "email": {
        "CLASS": "delivery.channels.email.EmailChannel",
        "PROVIDER": _carriers[EMAIL_PROVIDERS[0]],
        "FALLBACKS": [_carriers[name] for name in EMAIL_PROVIDERS[1:]],
        # Above so many mails an hour for one person the rest becomes a digest. 0: no limit.
        "PER_HOUR": env.int("EMAIL_PER_HOUR", 0),
    },
}
EMAIL_URL: str = env.str(
    "EMAIL_URL", f"smtp://127.0.0.1:{env.int('SMTP_PORT', 1025)}"
)  # smtp://, smtp+tls:// (STARTTLS), smtps://
EMAIL_FROM: str = env.str("EMAIL_FROM", "Bellhop <bellhop@localhost>")
EMAIL_TIMEOUT: int = env.int("EMAIL_TIMEOUT", 10)  # seconds for each: reaching the server, signing in, a message

# Push: each kind of device that has its credentials here. With none there is no such channel.
VAPID_PRIVATE_KEY: str = env.str("VAPID_PRIVATE_KEY", "")  # Web Push; manage.py vapid_keys makes one
VAPID_SUBJECT: str = env.str("VAPID_SUBJECT", f"mailto:{parseaddr(EMAIL_FROM)[1]}")  # whom a push service can ask
FCM_CREDENTIALS_FILE: str = env.str("FCM_CREDENTIALS_FILE", "")
FCM_URL: str = env.str("FCM_URL", "https://fcm.googleapis.com")
APNS_KEY_FILE: str = env.str("APNS_KEY_FILE", "")
APNS_KEY_ID: str = env.str("APNS_KEY_ID", "")
APNS_TEAM_ID: str = env.str("APNS_TEAM_ID", "")
APNS_TOPIC: str = env.str("APNS_TOPIC", "")
APNS_URL: str = env.str("APNS_URL", "https://api.push.apple.com")
PUSH_TIMEOUT: int = env.int("PUSH_TIMEOUT", 10)  # seconds for each: signing in, a message
PUSH_PROVIDERS = {
    kind: provider
    for kind, configured, provider in (
        ("webpush", VAPID_PRIVATE_KEY, "delivery.providers.webpush.WebPushProvider"),
        ("fcm", FCM_CREDENTIALS_FILE, "delivery.providers.fcm.FCMProvider"),
        ("apns", APNS_KEY_FILE, "delivery.providers.apns.APNSProvider"),
    )
    if configured
}
if PUSH_PROVIDERS:
    DELIVERY_CHANNELS["push"] = {
        "CLASS": "delivery.channels.push.PushChannel",
        "PROVIDER": "delivery.providers.push.PushProvider",
        "PER_HOUR": env.int("PUSH_PER_HOUR", 0),
    }
# What others name (push endpoints) must be public addresses; or in these networks.
ALLOWED_NETWORKS: list[str] = env.list("ALLOWED_NETWORKS", default=[])

# --- Work: leases, sizes, time limits -------------------------------------------------------------------------
LEASE = timedelta(seconds=env.int("LEASE_SECONDS", 90))
CHUNK = 500  # recipients in one transaction: the lock time grows with it, the gain does not
MAX_ATTEMPTS: int = env.int("MAX_ATTEMPTS", 8)

# --- Sockets: Channels' layer -------------------------------------------------------
# For a host project's own consumers. Bellhop's hub does not use it: docs/decisions/0001.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "bellhop"},
    }
}

# --- Watching it -------------------------------------------------------------------------------------------------
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "")  # without it only staff who are signed in see /metrics
RELEASE: str = env.str("RELEASE", "")  # what runs, as you call it: in /metrics and on errors
CANARY_USER: str = env.str("CANARY_USER", "")
SENTRY_DSN: str = env.str("SENTRY_DSN", "")
OTEL_EXPORTER_OTLP_ENDPOINT: str = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")

# --- Logs -------------------------------------------------------------------------------------------------------
LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT: str = env.str("LOG_FORMAT", "console" if DEMO else "json")
LOGGING_CONFIG = "core.logs.configure"
LOGGING: dict[str, Any] = {"level": LOG_LEVEL, "format": LOG_FORMAT}
