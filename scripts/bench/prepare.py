"""`python -m scripts.bench.prepare N`: Bellhop's tables, N people, and the two tokens as JSON."""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from knox.models import AuthToken  # noqa: E402

from core.models import User  # noqa: E402

call_command("migrate", verbosity=0, interactive=False)
people = User.objects.bulk_create(User(username=f"person{n}", password="!") for n in range(int(sys.argv[1])))
producer = User.objects.create(username="producer", password="!", is_producer=True)
print(
    json.dumps(
        {
            "producer": AuthToken.objects.create(user=producer)[1],
            "reader": AuthToken.objects.create(user=people[0])[1],
        }
    )
)
