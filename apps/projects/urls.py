"""Addresses of what brings files in."""

from django.urls import path

from apps.projects import views

urlpatterns = [
    path("new/uploads", views.begin_upload, name="upload"),
    path("new/uploads/<uuid:upload_id>", views.upload_state, name="upload-state"),
    path("new/uploads/<uuid:upload_id>/parts/<int:number>", views.part_url, name="upload-part"),
    path("new/uploads/<uuid:upload_id>/complete", views.complete_upload, name="upload-complete"),
    path("new/uploads/<uuid:upload_id>/cancel", views.cancel_upload, name="upload-cancel"),
]
