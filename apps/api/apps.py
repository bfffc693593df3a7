from django.apps import AppConfig
from django.urls import register_converter
from django.urls.converters import UUIDConverter


class IdConverter(UUIDConverter):
    """An id as any caller may write it: the standard takes both cases."""

    regex = "(?i:" + UUIDConverter.regex + ")"


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"

    def ready(self) -> None:
        register_converter(IdConverter, "id")
