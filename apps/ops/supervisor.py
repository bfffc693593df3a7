"""The one-command supervisor: starts every process of the house in order, keeps them running, leaves none behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from apps.engine.options import MODELS
from apps.ops import plan, processes, queue_server
from apps.ops.instance import CannotStart
from apps.ops.processes import Child

BACKOFF = (1, 2, 5, 10, 30)
"""Seconds before a process that ended is started again, by how often that happened in a row."""
STEADY_SECONDS = 60
"""A process that lived this long starts its count of failures anew."""
MOST_FALSE_STARTS = 5
"""A process that ended this often before the site was ever ready will not do better the next time."""
TICK = 0.1
PATIENCE = 60
"""Seconds after which a start that still waits says what it waits for."""


class Stopping(Exception):
    """Someone asked us to stop; carried up from wherever we waited."""


class Supervisor:
    """One start, one watch, one stop. Single-threaded, so that forking stays safe."""

    def __init__(self, site: plan.Site, *, say: Callable[[str], None]) -> None:
        self.site = site
        self.say = say
        self.children: list[Child] = []
        self.steps: list[Child] = []
        self.signals = 0
        self.told = 0
        log = site.log("models")
        self.installer_read = log.stat().st_size if log.exists() else 0
        self.installed: set[str] = set()

    def run(self) -> int:
        self.listen()
        processes.adopt_orphans()
        try:
            self.prepare()
            self.launch()
            self.wait_until_ready()
            while True:
                self.tick()
                self.tell_of_models()
        except Stopping:
            self.say("Stopping…")
            return 0
        except (CannotStart, queue_server.NoQueueServer) as error:
            self.say(f"error: {error}")
            return 1
        finally:
            self.stop()

    def listen(self) -> None:
        def asked(number: int, frame: object) -> None:
            self.signals += 1

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A shell's `nohup` left SIGHUP ignored: then the terminal may go and we stay.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, asked)

    # -- starting ---------------------------------------------------------------------------

    def prepare(self) -> None:
        site = self.site
        if site.embeds_queue:
            self.say("Starting the queue server…")
            queue_server.clear_remains(site.data_dir)
            url = queue_server.choose_address(site.data_dir)
            site.environment["REDIS_URL"] = url
            self.add(queue_server.child(queue_server.find_binary(), url, site.data_dir))
            self.wait(lambda: queue_server.is_alive(url), "the queue server", seconds=30)
        self.say("Preparing the database…")
        self.steps = [site.migrate()]
        if (stamp := plan.static_stamp()) != site.static_stamp():
            self.say("Collecting the static files…")
            self.steps.append(site.collect_static())
        for step in self.steps:
            step.start(site.environment, site.directory)
        for step in self.steps:
            self.finish(step)
        site.keep_static_stamp(stamp)

    def finish(self, step: Child) -> None:
        """Wait for a step that ends by itself; its failure ends the start."""
        while (status := step.ended()) is None:
            self.tick()
        if status:
            raise CannotStart(f"{step.name} failed (status {status}):\n{step.tail()}")

    def launch(self) -> None:
        self.say("Starting the web server, the workers and the reconciler…")
        for child in self.site.children():
            self.add(child)

    def add(self, child: Child) -> None:
        self.children.append(child)
        child.start(self.site.environment, self.site.directory)

    def wait(self, condition: Callable[[], Any], what: str, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise CannotStart(f"{what} did not start within {seconds:.0f} s:\n{self.children[-1].tail()}")
            self.tick()

    def wait_until_ready(self) -> None:
        """The address is printed when a request is answered and the first model can work."""
        started, said = time.monotonic(), ""
        while lacking := self.lacking():
            for child in self.children:
                if child.failures > MOST_FALSE_STARTS:
                    raise CannotStart(f"{child.name} does not stay up:\n{child.tail()}\nThe whole log: {child.log}")
            if time.monotonic() - started > PATIENCE and lacking != said:
                self.say(f"Still waiting: {lacking}")
                said = lacking
            for _ in range(3):
                self.tick()
        self.installed = plan.installed_models()
        rest = [name for name in MODELS if name not in self.installed]
        self.say("")
        self.say(f"Clearmatte is ready at {self.site.address}")
        if rest:
            self.say(f"Ready to use: {', '.join(sorted(self.installed)) or 'no model'}. Not yet: {', '.join(rest)}.")
        self.say(f"Data and logs: {self.site.data_dir} · Ctrl-C stops everything.")
        self.say("")

    def lacking(self) -> str:
        """What keeps us from being ready, in words; empty when nothing does."""
        answer = health(self.site.health_url)
        if answer is None:
            return f"the web server does not answer on {self.site.health_url}"
        # Models are judged below: `light` alone makes the site ready.
        bad = {name: check for name, check in answer.get("checks", {}).items() if name != "models" and not check["ok"]}
        if bad:
            return "not in order: " + ", ".join(f"{name} ({check.get('detail', '')})" for name, check in bad.items())
        if self.site.installs_models and plan.FIRST_MODEL not in plan.installed_models():
            return (
                f"model {plan.FIRST_MODEL} is not installed yet (the pages already open at {self.site.address}; "
                f"log: {self.site.log('models')})"
            )
        return ""

    # -- keeping --------------------------------------------------------------------------------

    def tick(self) -> None:
        """A short sleep, then whatever has to be looked after; raises Stopping when asked to."""
        time.sleep(TICK)
        if self.signals > self.told:
            self.told = self.signals
            raise Stopping
        for child in self.children:
            self.keep(child)
        processes.kill_strays({child.pid for child in (*self.children, *self.steps) if child.pid})
        self.relay_installer()

    def keep(self, child: Child) -> None:
        now = time.monotonic()
        if child.due_at is not None and now >= child.due_at:
            child.start(self.site.environment, self.site.directory)
        status = child.ended()
        if status is None or (status == 0 and not child.is_kept):
            return
        child.failures = 0 if now - child.started_at > STEADY_SECONDS else child.failures
        pause = BACKOFF[min(child.failures, len(BACKOFF) - 1)]
        child.failures += 1
        child.due_at = now + pause
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self.say(f"{child.name} {how}; starting it again in {pause} s. Its last lines ({child.log}):")
        self.say(child.tail(6))

    def relay_installer(self) -> None:
        """Its log goes to the terminal too: what is fetched, under which licence, and what failed."""
        log = self.site.log("models")
        if not self.site.installs_models or not log.exists():
            return
        with log.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self.installer_read:  # put aside meanwhile: a new log
                self.installer_read = 0
            file.seek(self.installer_read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.installer_read += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self.say(line)

    def tell_of_models(self) -> None:
        now = plan.installed_models()
        for name in sorted(now - self.installed):
            self.say(f"Model {name} is ready.")
        self.installed = now

    # -- stopping -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Workers first (they give their jobs back), then the web, the queue last: each needs the next."""
        order = ("worker", "web", "queue")
        processes.stop(self.steps, hurry=lambda: True)
        for rank in order:
            group = [child for child in self.children if plan.rank(child) == rank]
            processes.stop(group, hurry=lambda: self.signals > max(self.told, 1))
        deadline = time.monotonic() + 5
        while processes.kill_strays(set()) and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.site.embeds_queue:
            queue_server.forget_address(self.site.data_dir)


def health(url: str) -> dict[str, Any] | None:
    """What /health says, whatever its status; None while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def say(line: str) -> None:
    """A line for the terminal; one that has gone away must not end the site."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of our life
