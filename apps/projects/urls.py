"""Addresses of the pages about projects and files."""

from django.urls import path

from apps.projects import views

urlpatterns = [
    path("new/upload", views.upload, name="upload"),
    path("projects", views.projects, name="projects"),
]
