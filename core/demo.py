"""The demo: an admin, a producer and some people, each with a token. Only where DEMO=1."""

from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from faker import Faker
from knox.models import AuthToken

from core.models import User

NAMED = ("alice", "bob", "carol")
MORE = 20  # people made by Faker


@dataclass(frozen=True, slots=True)
class Login:
    """A demo login as `make run` prints it."""

    name: str
    password: str = field(repr=False)
    token: str = field(repr=False)
    role: str


def ensure(*, now: datetime) -> list[Login]:
    """
    Make the demo users that are missing, and a fresh token for each of those printed. Safe to run again.

    Raises RuntimeError outside the demo: known passwords must not exist anywhere else.
    """
    if not settings.DEMO:
        raise RuntimeError("Demo users exist only where DEMO=1.")
    roles = {"admin": "staff", "producer": "producer"} | dict.fromkeys(NAMED, "person")
    logins = []
    for name, role in roles.items():
        user, made = User.objects.get_or_create(
            username=name,
            defaults={
                "email": f"{name}@example.com",
                "is_staff": role == "staff",
                "is_superuser": role == "staff",
                "is_producer": role != "person",
            },
        )
        if made:
            user.set_password(name)
            user.save(update_fields=["password"])
        AuthToken.objects.filter(user=user, expiry__lt=now).delete()
        _, token = AuthToken.objects.create(user=user)
        logins.append(Login(name=name, password=name, token=token, role=role))
    if User.objects.count() < len(roles) + MORE:
        fake = Faker()
        Faker.seed(1)
        User.objects.bulk_create(
            [
                User(
                    username=f"{fake.user_name()}{number}",
                    first_name=fake.first_name(),
                    last_name=fake.last_name(),
                    email=fake.safe_email(),
                    password="!",  # noqa: S106  unusable: nobody signs in as them
                )
                for number in range(MORE)
            ],
            ignore_conflicts=True,
        )
    return logins
