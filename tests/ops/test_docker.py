"""What docker/ says is true of the site: its variables, commands, queues, secrets and addresses exist."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import CommandError, call_command, get_commands
from django.test import Client, override_settings
from moto.server import ThreadedMotoServer

from apps.api.docs import GUIDES
from apps.jobs.worker import Worker, show_life

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: row for name, row in SERVICES.items() if row["image"].startswith("clearmatte:")}
LASTING = {name: row for name, row in SERVICES.items() if row["restart"] == "unless-stopped"}
STORES = ("database", "queue", "store")
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def variables() -> set[str]:
    """All that the settings and the web server read from the environment."""
    found = set()
    for path in (ROOT / "config" / "settings.py", ROOT / "apps" / "ops" / "gunicorn_settings.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).startswith(("env.", "os.environ.")):
                found.add(ast.literal_eval(node.args[0]))
    return found


def secret_files(folder: Path) -> set[str]:
    subprocess.run(["sh", str(DOCKER / "make_secrets.sh"), str(folder)], check=True)
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_the_site_reads(name: str) -> None:
    known = variables()

    given = {variable.removesuffix("_FILE") if variable != "ALIVE_FILE" else variable for variable in
             OURS[name]["environment"]}  # fmt: skip

    assert given - known == set()


def test_the_images_own_variables_are_read_too() -> None:
    (block,) = re.findall(r"^ENV PATH=(.*?)\n(?!    )", DOCKERFILE, re.MULTILINE | re.DOTALL)

    given = set(re.findall(r"^\s+([A-Z_]+)=", block, re.MULTILINE))

    assert given - {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "HOME", "TMPDIR"} == {
        "DATA_DIR",
        "STATIC_ROOT",
        "ALIVE_FILE",
    }
    assert {"DATA_DIR", "STATIC_ROOT", "ALIVE_FILE"} <= variables()


@pytest.mark.parametrize("name", SERVICES)
def test_every_secret_that_is_read_is_handed_over(name: str) -> None:
    row = SERVICES[name]
    told = json.dumps(
        [row.get("environment", {}), row.get("command", []), row["healthcheck"] if name in LASTING else ""]
    )

    read = set(re.findall(r"/run/secrets/([\w.]+)", told))

    assert read == set(row.get("secrets", []))


def test_the_script_makes_every_secret_and_keeps_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = secret_files(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}

    again = secret_files(folder)

    assert {row["file"].removeprefix("secrets/") for row in COMPOSE["secrets"].values()} == made == again
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert before["database_password"].strip() in before["database_url"]
    identity = json.loads(before["s3.json"])["identities"][0]
    assert identity["credentials"][0]["secretKey"] == before["s3_secret_key"].strip()
    assert len(before["secret_key"].strip()) >= 50
    assert before["queue_password"] != before["database_password"]


def test_the_site_starts_with_those_secrets(tmp_path: Path) -> None:
    """Empty ones included: no Stripe is a site without purchases."""
    folder = tmp_path / "secrets"
    secret_files(folder)
    site = "${SITE_HOST:?copy docker/.env.example to docker/.env}"
    environment = {
        variable: str(value).replace("/run/secrets", str(folder)).replace(site, "a.example")
        for variable, value in OURS["web"]["environment"].items()
    }
    environment |= {"PATH": "/usr/bin:/bin", "DATA_DIR": str(tmp_path / "data"), "MODEL_LICENCES": "all"}
    show = (
        "import json; from config import settings as s; print(json.dumps([s.SITE_URL, s.DATABASES['default']['HOST'],"
        " s.REDIS_URL.endswith('@queue:6379/0'), s.STRIPE_SECRET_KEY, s.STRIPE_WEBHOOK_SECRETS, s.EMAIL_BACKEND,"
        " len(s.METRICS_TOKEN), s.SENTRY_DSN]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", show],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        "https://a.example", "database", True, "", [], "django.core.mail.backends.console.EmailBackend", 64, "",
    ]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    command = OURS[name]["command"]

    if command[:2] == ["python", "manage.py"]:
        assert command[2] in get_commands()
        for word in command[3:]:
            if word.startswith("--worker-class="):
                assert word.split("=")[1] == f"{Worker.__module__}.{Worker.__qualname__}"
        return
    assert command[:3] == ["python", "-m", "gunicorn"]
    module, application = command[3].split(":")
    assert hasattr(importlib.import_module(module), application)
    assert importlib.util.find_spec(command[command.index("--config") + 1].removeprefix("python:")) is not None
    assert json.dumps(command) in DOCKERFILE


def test_every_queue_is_listened_to_and_no_other(settings: Any) -> None:
    listened: set[str] = set()
    for row in OURS.values():
        command = row["command"]
        if "rqworker" in command and "profiles" not in row:
            listened |= {word for word in command[3:] if not word.startswith("-")}

    assert listened == set(settings.RQ_QUEUES)


@pytest.mark.django_db
def test_the_address_of_the_health_check_answers_without_being_sent_elsewhere(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    (address,) = re.findall(r"http://127\.0\.0\.1:8000(/[\w/]+)", str(SERVICES["web"]["healthcheck"]["test"]))

    answer = Client(headers={"host": "127.0.0.1:8000"}).get(address)

    assert answer.json()["version"] == settings.VERSION
    assert f"127.0.0.1:8000{address}" in DOCKERFILE


def test_workers_and_the_reconciler_show_that_they_live(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALIVE_FILE = str(tmp_path / "alive")
    monkeypatch.setattr("rq.Worker.heartbeat", lambda self: None)
    monkeypatch.setattr(Worker, "be_known", lambda self: None)
    monkeypatch.setattr(Worker, "tell_scratch", lambda self: None)
    worker = Worker.__new__(Worker)

    worker.heartbeat()

    assert (tmp_path / "alive").exists()
    assert "show_life()" in (ROOT / "apps/jobs/management/commands/reconcile.py").read_text()
    settings.ALIVE_FILE = ""
    show_life()


@pytest.mark.parametrize("name", LASTING)
def test_whatever_lasts_is_watched(name: str) -> None:
    assert LASTING[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    row = SERVICES[name]

    assert row["read_only"] is True
    assert "no-new-privileges:true" in row["security_opt"]
    assert {"cpus", "memory", "pids"} <= set(row["deploy"]["resources"]["limits"])
    assert row["logging"]["options"]["max-size"]
    assert "privileged" not in row
    if name in OURS:
        assert (row["cap_drop"], row["init"]) == (["ALL"], True)


def test_only_the_proxy_can_be_reached_from_outside() -> None:
    assert [name for name, row in SERVICES.items() if "ports" in row] == ["proxy"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name: SERVICES[name]["networks"] for name in STORES} == {name: ["inside"] for name in STORES}


def test_images_are_pinned_and_name_no_registry() -> None:
    images = [row["image"] for row in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    for image in images:
        name, _, tag = image.partition(":")
        assert tag not in ("", "latest"), image
        assert "." not in name.split("/")[0] or "/" not in name, image


def test_the_image_runs_as_nobody_and_holds_no_secret() -> None:
    assert re.findall(r"^USER (.+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE) == ["ACCELERATOR"]
    assert not re.search(r"(SECRET|PASSWORD|TOKEN|_KEY)\w*=", DOCKERFILE)
    assert DOCKERFILE.count("--require-hashes") == 3
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    taken = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    }
    assert copied == taken
    assert {f"docs/{name}.md" for name in GUIDES} <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_proxy_knows_who_it_is_for() -> None:
    caddy = (DOCKER / "Caddyfile").read_text(encoding="utf-8")
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")

    asked = set(re.findall(r"\{\$(\w+)\}", caddy))
    assert asked == set(SERVICES["proxy"]["environment"])
    named = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yml").read_text(encoding="utf-8")))
    assert named == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert "reverse_proxy web:8000" in caddy
    assert "reverse_proxy store:8333" in caddy


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_is_made_once(region: str, capsys: pytest.CaptureFixture[str]) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    name = f"fresh-{region}"
    try:
        with media_in(name, endpoint, region):
            for _ in range(2):
                call_command("create_bucket")
        client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b")
        place = client.get_bucket_location(Bucket=name)["LocationConstraint"]
        (rule,) = client.get_bucket_cors(Bucket=name)["CORSRules"]
    finally:
        server.stop()

    assert re.findall(rf"^{name} is (\w+)\.", capsys.readouterr().out, re.MULTILINE) == ["made", "there"]
    assert (place or "us-east-1") == region
    assert (rule["AllowedOrigins"], "PUT" in rule["AllowedMethods"]) == ([settings.SITE_URL], True)


@contextmanager
def media_in(bucket: str, endpoint: str, region: str = "us-east-1") -> Iterator[None]:
    options = {
        "bucket_name": bucket, "endpoint_url": endpoint,
        "access_key": "a", "secret_key": "b", "region_name": region,
    }  # fmt: skip
    media = {"media": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}
    with override_settings(S3_BUCKET=bucket, STORAGES={**storages.backends, **media}):
        yield


def test_a_store_that_is_not_reached_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with (
        media_in("fresh", "http://127.0.0.1:1"),  # where nobody listens
        pytest.raises(CommandError, match=r"not reached: .*127\.0\.0\.1:1.*\. Check S3_ENDPOINT_URL and S3_REGION\."),
    ):
        call_command("create_bucket")


def test_without_s3_no_bucket_is_made() -> None:
    with pytest.raises(CommandError, match="needs no bucket"):
        call_command("create_bucket")
