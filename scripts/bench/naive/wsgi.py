"""HTTP: `gunicorn scripts.bench.naive.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scripts.bench.naive.settings")
application = get_wsgi_application()
