"""The naive app's settings: Django's, DRF's, Celery's and Channels' defaults wherever there is one."""

import environ

env = environ.Env()

SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": env.db_url("DATABASE_URL")}
# Bellhop keeps its connections too; a new one for each request would measure something else.
DATABASES["default"]["CONN_MAX_AGE"] = 300
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "channels",
    "scripts.bench.naive",
]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "scripts.bench.naive.urls"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["scripts.bench.naive.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [env.str("REDIS_URL")]},
    }
}
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL")
