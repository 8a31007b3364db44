"""The settings the tests run under: the real ones, with a data directory and a key of their own."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("DATA_DIR", str(ROOT / ".data-test"))
os.environ.setdefault("SECRET_KEY", "a-key-for-tests-that-is-long-enough-to-pass-the-deploy-checks-0123456789")
os.environ.setdefault("LOG_FORMAT", "json")
# A test's event loop has nothing else to do while the test looks into the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

from core.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # nothing is collected here, and no walk over the static files for each test client
