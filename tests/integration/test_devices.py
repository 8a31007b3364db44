"""Devices that are registered, change hands, and go: one at a time, many at once, and too many to be believed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Thread

import pytest
from django.db import connections
from structlog.testing import capture_logs

from core.models import User
from notifications import devices
from notifications.devices import FEW, WINDOW, Gone
from notifications.models import Device
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")

SECOND = timedelta(seconds=1)
SECRET = "token-that-nobody-may-see"
KEYS = {"p256dh": "BC" + "a" * 85, "auth": "s" * 22}


def phones(user: User, count: int, *, now: datetime = NOW, start: int = 0) -> list[Device]:
    made = [
        Device(
            user=user,
            kind="fcm",
            address={"kind": "fcm", "token": f"{SECRET}-{number}"},
            fingerprint=f"{user.pk}-{number}",
            created_at=now,
            last_seen_at=now,
        )
        for number in range(start, start + count)
    ]
    return Device.objects.bulk_create(made)


def registration(number: int = 0) -> devices.Registration:
    return devices.FCM(token=f"{SECRET}-{number}")


def say_gone(made: list[Device], *, now: datetime = NOW) -> int:
    """All of them in one go; how many were believed."""
    return len(devices.gone([Gone(device.pk, now) for device in made], now=now))


def there() -> int:
    return Device.objects.filter(gone_at=None).count()


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


def test_one_that_is_gone_is_marked_once(alice: User, logged: list[dict[str, object]]) -> None:
    first, second = phones(alice, 2)
    assert say_gone([first, first]) == 1
    assert say_gone([first], now=NOW + SECOND) == 0
    assert list(Device.objects.order_by("pk").values_list("pk", "gone_at")) == [(first.pk, NOW), (second.pk, None)]
    assert devices.gone([], now=NOW) == set()
    assert say_gone([Device(pk=10**9)]) == 0
    assert logged == []


def test_who_registered_after_the_push_service_was_asked_is_not_meant(alice: User) -> None:
    (device,) = phones(alice, 1, now=NOW + SECOND)
    assert say_gone([device], now=NOW) == 0
    # Said twice, of two moments: the later one counts.
    assert devices.gone([Gone(device.pk, NOW + SECOND), Gone(device.pk, NOW)], now=NOW + SECOND) == {device.pk}


def test_a_device_that_is_gone_comes_back_when_it_registers(alice: User) -> None:
    device, made = devices.register(alice.pk, registration(), now=NOW)
    assert made is True
    say_gone([device])
    assert list(devices.rows(alice.pk)) == []
    again, made = devices.register(alice.pk, registration(), now=NOW + SECOND)
    assert (again.pk, made, again.gone_at, again.last_seen_at) == (device.pk, False, None, NOW + SECOND)


# --- Too many at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "believed"), [(4, 4), (5, 5), (6, 5), (16, 5), (20, 6), (100, 30)])
def test_of_all_at_once_no_more_than_the_share_or_a_few(
    alice: User, logged: list[dict[str, object]], count: int, believed: int
) -> None:
    made = phones(alice, count)
    assert say_gone(made) == believed
    assert there() == count - believed
    kept = count - believed
    error = {"event": "devices.mass_gone", "log_level": "error", "kind": "fcm", "kept": kept, "minutes": 10.0}
    assert logged == ([error] if kept else [])


def test_it_is_the_same_whether_they_go_one_by_one_or_together(alice: User) -> None:
    made = phones(alice, 100)
    for device in made[:29]:
        assert say_gone([device]) == 1
    assert say_gone(made[29:35]) == 1
    assert [say_gone([device]) for device in made[35:40]] == [0] * 5
    assert there() == 70


def test_after_the_window_it_is_believed_again(alice: User) -> None:
    made = phones(alice, 20)
    assert say_gone(made) == 6
    assert say_gone(made, now=NOW + WINDOW - SECOND) == 0
    assert say_gone(made, now=NOW + WINDOW) == FEW  # 14 are left, of which 30 % are fewer
    assert there() == 9


def test_another_kind_is_another_matter(alice: User, bob: User, logged: list[dict[str, object]]) -> None:
    androids, iphones = phones(alice, 20), phones(bob, 20)
    Device.objects.filter(user=bob).update(kind="apns")
    assert say_gone([*androids, *iphones[:3]]) == 6 + 3
    assert Device.objects.filter(kind="apns", gone_at=None).count() == 17
    assert [(line["kind"], line["kept"]) for line in logged] == [("fcm", 14)]


# --- At once ---------------------------------------------------------------------------------------------------


def test_two_people_register_one_device_at_once(alice: User, bob: User) -> None:
    failed: list[Exception] = []

    def register(user: User, moment: datetime) -> None:
        try:
            devices.register(user.pk, registration(), now=moment)
        except Exception as error:
            failed.append(error)
        finally:
            connections.close_all()

    for number in range(20):
        moment = NOW + number * SECOND
        threads = [Thread(target=register, args=(user, moment)) for user in (alice, bob)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (device,) = Device.objects.all()
        assert device.last_seen_at == moment
        assert device.user_id in (alice.pk, bob.pk)
    assert failed == []


# --- Secrets ---------------------------------------------------------------------------------------------------


def test_an_address_is_in_no_repr(alice: User) -> None:
    browser = devices.WebPush(
        endpoint=f"https://push.example.com/{SECRET}", keys=devices.Keys(p256dh=KEYS["p256dh"], auth=KEYS["auth"])
    )
    device, _ = devices.register(alice.pk, browser, now=NOW)
    for one in (registration(), devices.APNs(token="0a" * 32), browser, browser.keys, device):
        said = f"{one!r} {one} {[one]}"
        assert SECRET not in said
        assert "0a0a" not in said
        assert KEYS["p256dh"] not in said
        assert KEYS["auth"] not in said
