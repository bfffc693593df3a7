"""Addresses of the pages about jobs, and of the two that everybody may read."""

from django.urls import path

from apps.jobs import account_views, money_views, new_views, project_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("pricing", views.pricing, name="pricing"),
    path("new", new_views.new, name="new"),
    path("new/price", new_views.price, name="price"),
    path("new/background", new_views.background, name="background"),
    path("new/choices", new_views.choices, name="choices"),
    path("new/tried/<uuid:job_id>", new_views.tried, name="tried"),
    path("jobs", views.jobs, name="jobs"),
    path("jobs/<uuid:job_id>", views.job, name="job"),
    path("jobs/<uuid:job_id>/status", views.status, name="job-status"),
    path("jobs/<uuid:job_id>/newest", views.newest_frame, name="job-newest"),
    path("jobs/<uuid:job_id>/start", views.start, name="job-start"),
    path("jobs/<uuid:job_id>/cancel", views.cancel, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry", views.retry, name="job-retry"),
    path("jobs/<uuid:job_id>/delete-media", views.delete_media, name="job-delete-media"),
    path("jobs/<uuid:job_id>/buy", money_views.buy_for, name="job-buy"),
    path("usage", money_views.used, name="usage"),
    path("usage.csv", money_views.used_csv, name="usage-csv"),
    path("account/export", account_views.export, name="account-export"),
    path("account/delete", account_views.delete, name="account-delete"),
    path("projects", project_views.projects, name="projects"),
    path("projects/<uuid:project_id>", project_views.project, name="project"),
    path("projects/<uuid:project_id>/settings", project_views.change, name="project-settings"),
    path("projects/<uuid:project_id>/delete", project_views.delete, name="project-delete"),
    path("projects/<uuid:project_id>/download", project_views.download, name="project-download"),
    path("projects/<uuid:project_id>/delete-media", project_views.delete_media, name="project-delete-media"),
]
