from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from core import checks, faults, traces

        checks.refuse()
        faults.start()
        traces.start()
