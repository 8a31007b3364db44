"""`python -m scripts.bench.naive.prepare N`: the naive tables, N people, and the two tokens as JSON."""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scripts.bench.naive.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from rest_framework.authtoken.models import Token  # noqa: E402

from scripts.bench.naive.models import Preference  # noqa: E402

call_command("migrate", verbosity=0, interactive=False)
# A second time for the app without migrations: its tables refer to those of the first.
call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
people = User.objects.bulk_create(User(username=f"person{n}", password="!") for n in range(int(sys.argv[1])))
Preference.objects.bulk_create(Preference(user=user) for user in people)
producer = User.objects.create(username="producer", password="!")
print(
    json.dumps(
        {
            "producer": Token.objects.create(user=producer).key,
            "reader": Token.objects.create(user=people[0]).key,
        }
    )
)
