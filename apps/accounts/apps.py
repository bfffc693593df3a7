from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import import_string

FOLLOW = "apps.accounts.roles.follow"


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        # Roles read models, which this module is loaded before.
        post_migrate.connect(import_string(FOLLOW), dispatch_uid=FOLLOW)
