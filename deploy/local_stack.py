"""`up`: everything on this machine, from Postgres to the edge, started, kept alive and stopped in order."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from control_plane.core.redis_client import open_redis
from control_plane.db.migrate import MigrationError, migrate
from deploy import demo
from deploy.admin import appoint_admin
from deploy.data_folder import DataFolder, Ready
from deploy.edge_workers import EdgeService, bind_sockets, read_edge_settings
from deploy.embedded import EmbeddedPostgres, EmbeddedValkey
from deploy.http_probe import fetch
from deploy.process import StartFailed, await_port_free, choose_port
from deploy.servers import await_postgres, await_redis
from deploy.services import HttpService, MailCatcherService, PipelineService, ServerService
from deploy.supervisor import Supervisor
from edge.contract.partitions import count_waiting
from edge.contract.redis_shards import REDIS_FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.data_folder import Demo
    from deploy.edge_workers import EdgeSockets
    from deploy.supervisor import Service

LOOPBACK: Final = "127.0.0.1"

PORT_FREED_S: Final = 3.0
"""How long a port may stay taken by the dying processes of a stack that was killed."""

PUBLISHED_S: Final = 20.0
"""How long a link may take from the API to the edge; it takes a quarter of a second."""

STREAM_DRAIN_S: Final = 30.0
"""How long the flusher may work off the stream before it is stopped; the rest waits in the journals."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. A port 0 means: any free one. `data_dir` None: throw it away."""

    data_dir: Path | None
    api_port: int
    edge_port: int
    edge_workers: int
    edge_server: str


def run_stack(options: Options, say: Callable[[str], None]) -> None:
    """Run the stack until SIGINT or SIGTERM. Raises StartFailed."""
    if options.data_dir is not None:
        asyncio.run(_run(options, DataFolder(options.data_dir), say))
        return
    home = Path(tempfile.mkdtemp(prefix="switchyard-"))
    home.chmod(0o711)
    folder = DataFolder(home / "data")
    try:
        asyncio.run(_run(options, folder, say))
    finally:
        if (servers := folder.path / folder.read_state().servers).is_dir():
            shutil.rmtree(servers)
        shutil.rmtree(home)


async def _run(options: Options, folder: DataFolder, say: Callable[[str], None]) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            say("Hurrying.")
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    folder.open()
    try:
        stack = LocalStack(options, folder, say)
        await stack.run(stop, hurry)
    finally:
        folder.close()


class LocalStack:
    """One run of the stack on a locked data folder."""

    def __init__(self, options: Options, folder: DataFolder, say: Callable[[str], None]) -> None:
        self._options = options
        self._folder = folder
        self._say = say
        self._secrets = folder.read_secrets()
        api_host = os.environ.get("SWITCHYARD_API_HOST") or LOOPBACK
        edge_host = os.environ.get("SWITCHYARD_EDGE_HOST") or LOOPBACK
        self._api_port = self._claim_port(options.api_port, api_host, "--api-port")
        self._edge_port = self._claim_port(options.edge_port, edge_host, "--edge-port")
        if self._api_port == self._edge_port:
            raise StartFailed(f"--api-port and --edge-port are both {self._api_port}; they must differ.")
        self._api_url = _local_url(api_host, self._api_port)
        self._edge_url = _local_url(edge_host, self._edge_port)
        self._embedded: list[Service] = []
        self._edge_sockets: EdgeSockets | None = None
        self._mail_catcher: MailCatcherService | None = None
        self._environment = self._prepare_environment()
        self._supervisor = Supervisor(folder.logs, say=say, changed=self._write_ready)
        self._ready: Ready | None = None

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event) -> None:
        """Start everything, wait for `stop`, and stop everything. Raises StartFailed."""
        started = time.monotonic()
        try:
            starting = asyncio.create_task(self._start())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait([starting])
            elif not stop.is_set():
                demo_account = starting.result()
                self._introduce(demo_account, time.monotonic() - started)
                await stopping
        finally:
            self._ready = None
            self._folder.clear_ready()
            await self._stop(hurry)

    def _claim_port(self, port: int, host: str, option: str) -> int:
        """Check that a port can be used; 0 gives a free one. Raises StartFailed naming port and option."""
        if port == 0:
            return choose_port()
        if not await_port_free(port, host, PORT_FREED_S if self._folder.was_killed else 0):
            raise StartFailed(f"Port {port} is taken or not allowed; choose another one with {option}.")
        return port

    def _prepare_environment(self) -> dict[str, str]:
        """Decide what the processes are told, and which servers have to be started for them."""
        ours = {
            "SWITCHYARD_API_PORT": str(self._api_port),
            "SWITCHYARD_EDGE_PORT": str(self._edge_port),
            "SWITCHYARD_EDGE_SERVER": self._options.edge_server,
            "SWITCHYARD_JOURNAL_DIR": str(self._folder.journal),
        }
        defaults = {
            "SWITCHYARD_API_URL": self._api_url,
            "SWITCHYARD_EDGE_URL": self._edge_url,
            "SWITCHYARD_JWT_SECRET": self._secrets.jwt_secret,
            "SWITCHYARD_FINGERPRINT_SECRET": self._secrets.fingerprint_secret,
            "SWITCHYARD_MASTER_KEY": self._secrets.master_key,
        }
        given = {name: value for name, value in os.environ.items() if value}
        state = self._folder.read_state()
        if not {"SWITCHYARD_DATABASE_URL", "SWITCHYARD_REDIS_URL"} <= given.keys():
            servers = self._folder.place_servers(state)
            if servers.parent != self._folder.path:
                self._say(f"The embedded servers do not run as root; their files are in {servers}.")
            if "SWITCHYARD_DATABASE_URL" not in given:
                postgres = EmbeddedPostgres(
                    servers,
                    self._secrets.postgres_password,
                    port=state.postgres_port,
                    durable=self._options.data_dir is not None,
                )
                self._embedded.append(ServerService("postgres", postgres))
                defaults["SWITCHYARD_DATABASE_URL"], state.postgres_port = postgres.url, postgres.port
            if "SWITCHYARD_REDIS_URL" not in given:
                valkey = EmbeddedValkey(servers, self._secrets.valkey_password, port=state.valkey_port)
                self._embedded.append(ServerService("valkey", valkey))
                defaults["SWITCHYARD_REDIS_URL"], state.valkey_port = valkey.url, valkey.port
        if not {"SWITCHYARD_SMTP_URL", "SWITCHYARD_SMS_URL"} <= given.keys():
            state.smtp_port, state.mail_port = choose_port(state.smtp_port), choose_port(state.mail_port)
            self._mail_catcher = catcher = MailCatcherService(
                given, self._folder.path, smtp_port=state.smtp_port, http_port=state.mail_port
            )
            defaults |= {"SWITCHYARD_SMTP_URL": catcher.smtp_url, "SWITCHYARD_SMS_URL": catcher.sms_url}
        self._folder.write_state(state)
        return defaults | given | ours

    async def _start(self) -> Demo:
        """Start everything in order and give the demo account. Raises StartFailed."""
        for service in self._embedded:
            self._say(f"Starting {service.name}.")
            await self._supervisor.start(service)
        database_url = self._environment["SWITCHYARD_DATABASE_URL"]
        await await_postgres(database_url)
        await await_redis(self._environment["SWITCHYARD_REDIS_URL"])
        try:
            for migration in await migrate(database_url):
                self._say(f"Migrated the database: {migration}.")
        except MigrationError as error:
            raise StartFailed(f"The database cannot be used: {error}.") from error
        self._say("Starting publisher, flusher, jobs, API and edge.")
        await asyncio.gather(*(self._supervisor.start(service) for service in self._describe_roles()))
        demo_account = await self._find_demo()
        await self._await_published(demo_account)
        self._ready = self._describe(demo_account)
        self._write_ready()
        return demo_account

    def _describe_roles(self) -> list[Service]:
        environment, home = self._environment, self._folder.path
        pipeline: list[Service] = [
            PipelineService(role, environment, home, self._folder.run / role)
            for role in ("publisher", "flusher", "jobs")
        ]
        probe = f"{self._api_url}/api/v1/public/health"
        api = HttpService("api", "api", environment, home, port=self._api_port, probe_url=probe)
        catcher = [self._mail_catcher] if self._mail_catcher is not None else []
        return [*catcher, *pipeline, api, *self._describe_edges()]

    def _describe_edges(self) -> list[Service]:
        environment, home = self._environment, self._folder.path
        numbers = range(1, self._options.edge_workers + 1)
        if self._options.edge_server == "wire":
            sockets = bind_sockets(read_edge_settings(environment), self._options.edge_workers)
            self._edge_sockets = sockets
            return [
                EdgeService(number, sockets, environment, home=home, run=self._folder.run)
                for number in numbers
            ]
        probe = f"{self._edge_url}/_/health/ready"
        return [
            HttpService(f"edge-{number}", "edge", environment, home, port=self._edge_port, probe_url=probe)
            for number in numbers
        ]

    async def _find_demo(self) -> Demo:
        """Give the demo account of the first run; make one where there is none."""
        known = self._folder.read_demo()
        if known is None or not await demo.is_alive(known, self._api_url):
            self._say("Making a demo account with keys, a project and a link.")
            known = await demo.make_demo(
                database_url=self._environment["SWITCHYARD_DATABASE_URL"],
                api_url=self._api_url,
                jwt_secret=self._environment["SWITCHYARD_JWT_SECRET"],
                jwt_issuer=self._jwt_issuer,
            )
            self._folder.write_demo(known)
        if known.admin is None:
            admin = await appoint_admin(
                self._environment["SWITCHYARD_DATABASE_URL"], tenant_slug=demo.TENANT, email=demo.EMAIL
            )
            known = msgspec.structs.replace(known, admin=admin)
            self._folder.write_demo(known)
        return known

    async def _await_published(self, demo_account: Demo) -> None:
        """Wait until the demo link redirects. HEAD: it is never counted. Raises StartFailed."""
        url = f"{self._edge_url}/{demo_account.slug}"
        deadline = time.monotonic() + PUBLISHED_S
        while (answer := await fetch(url, method="HEAD")).status != 302:  # noqa: PLR2004
            if time.monotonic() > deadline:
                raise StartFailed(f"The demo link {url} answers {answer.status} instead of 302.")
            await asyncio.sleep(0.05)

    @property
    def _jwt_issuer(self) -> str:
        return self._environment.get("SWITCHYARD_JWT_ISSUER", "switchyard")

    def _describe(self, demo_account: Demo) -> Ready:
        secret = self._environment["SWITCHYARD_JWT_SECRET"]
        return Ready(
            api_url=self._api_url,
            edge_url=self._edge_url,
            api_key=demo_account.api_key,
            token=demo.sign_token(demo_account.user_id, secret=secret, issuer=self._jwt_issuer),
            demo_link=f"{self._edge_url}/{demo_account.slug}",
            database_url=self._environment["SWITCHYARD_DATABASE_URL"],
            redis_url=self._environment["SWITCHYARD_REDIS_URL"],
            processes={},
            up=os.getpid(),
            project=demo_account.project,
            **self._describe_mail(),
        )

    def _describe_mail(self) -> dict[str, str]:
        catcher = self._mail_catcher
        if catcher is None:
            return {}
        used = {url for url in (catcher.smtp_url, catcher.sms_url) if url in self._environment.values()}
        return {
            "mail_url": catcher.url,
            "smtp_url": catcher.smtp_url if catcher.smtp_url in used else "",
            "sms_url": catcher.sms_url if catcher.sms_url in used else "",
        }

    def _write_ready(self) -> None:
        """Bring ready.json up to date, if all is up."""
        if self._ready is not None:
            self._folder.write_ready(msgspec.structs.replace(self._ready, processes=self._supervisor.pids))

    def _introduce(self, demo_account: Demo, took_s: float) -> None:
        assert demo_account.admin is not None
        admin, project = demo_account.admin, demo_account.project
        shown = f"  Project    {project.id}, its key {project.key}\n" if project is not None else ""
        mail = f"  Mail       {self._mail_catcher.url}\n" if self._mail_catcher is not None else ""
        self._say(
            f"\nSwitchyard is up after {took_s:.1f} s.\n"
            f"  API        {self._api_url}\n"
            f"  Edge       {self._edge_url}\n"
            f"  API key    {demo_account.api_key}\n"
            f"  Demo link  {self._edge_url}/{demo_account.slug}\n"
            f"{shown}"
            f"  Admin      {admin.email}, password {admin.password}, tenant {admin.tenant_slug}\n"
            f"{mail}"
            f"  Data       {self._folder.path}\n"
            "Follow the demo link, then see its clicks:\n"
            f"  curl -i {self._edge_url}/{demo_account.slug}\n"
            f"  curl -H 'X-API-Key: {demo_account.api_key}' "
            f"{self._api_url}/api/v1/public/links/{demo_account.link_id}/clicks\n"
            "Ctrl-C stops it."
        )

    async def _stop(self, hurry: asyncio.Event) -> None:
        """Stop from the front to the back, so that each process finds what it still needs."""
        self._say("Stopping.")
        pids = self._supervisor.pids
        edges = [name for name in pids if name.startswith("edge-")]
        await self._supervisor.stop("api", hurry=hurry)
        if self._edge_sockets is not None:
            self._edge_sockets.close()
        await asyncio.gather(*(self._supervisor.stop(name, hurry=hurry) for name in edges))
        await self._supervisor.stop("publisher", hurry=hurry)
        if "flusher" in pids and edges:
            await self._drain_stream(hurry)
        for name in ("flusher", "jobs", "mail-catcher", "valkey", "postgres"):
            await self._supervisor.stop(name, hurry=hurry)
        await self._supervisor.close()
        self._say("Stopped.")

    async def _drain_stream(self, hurry: asyncio.Event) -> None:
        """Give the flusher time to land what the edges have shipped."""
        deadline = time.monotonic() + STREAM_DRAIN_S
        async with open_redis(self._environment["SWITCHYARD_REDIS_URL"], timeout_s=2.0) as redis:
            while not hurry.is_set():
                try:
                    waiting = await count_waiting(redis)
                except REDIS_FAULTS:
                    return
                if not waiting:
                    return
                if time.monotonic() > deadline:
                    self._say(f"{waiting} chunks of events are left in the stream; the journals keep them.")
                    return
                await asyncio.sleep(0.05)


def _local_url(host: str, port: int) -> str:
    """Give the URL at which this machine reaches a server that listens on `host`."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not bound
        host = LOOPBACK
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
