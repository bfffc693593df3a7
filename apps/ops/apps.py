from django.apps import AppConfig
from django.core.checks import register

from apps.ops import hosts, sentry


class OpsConfig(AppConfig):
    name = "apps.ops"
    label = "ops"

    def ready(self) -> None:
        register(hosts.check, "stores")
        sentry.start()
