"""What the edge is compared with: each started on the core of the server, on a port of its own.

nginx comes from the system (Debian: nginx, libnginx-mod-http-lua, lua-resty-lrucache); where it or its
Lua module is missing, that comparison is left out.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis import Redis

from deploy.process import choose_port
from loadtests.bench_stack import (
    CHECKOUT,
    SERVER_CORES,
    await_answer,
    start_pinned,
    stop,
)
from loadtests.load_generators import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

LUA_FOLDER: Final = CHECKOUT / "loadtests" / "nginx_lua"
COUNTRY_BLOCKS: Final = 20_000
_PLAIN_NGINX: Final = """\
daemon off; worker_processes 1; pid @HOME@/pid; error_log @HOME@/error.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; server {
    listen 127.0.0.1:@PORT@ backlog=4096; return 302 https://example.com/landing; } }
"""


@contextlib.contextmanager
def running_granian_edge(redis_url: str) -> Iterator[Target]:
    """Run a second edge worker, behind Granian, on the links in Redis."""
    port = choose_port()
    with tempfile.TemporaryDirectory(prefix="switchyard-granian-") as home:
        environment = os.environ | {
            "SWITCHYARD_REDIS_URL": redis_url,
            "SWITCHYARD_EDGE_PORT": str(port),
            "SWITCHYARD_JOURNAL_DIR": f"{home}/journal",
            "SWITCHYARD_EDGE_SERVER": "granian",
        }
        with _running([str(CHECKOUT / "switchyard"), "edge"], port, SERVER_CORES, env=environment) as target:
            yield target


@contextlib.contextmanager
def running_constant_server(cores: set[int] = SERVER_CORES) -> Iterator[Target]:
    """Run Granian with a constant 302 on some cores."""
    port = choose_port()
    with _running([sys.executable, "-m", "loadtests.constant_server", str(port)], port, cores) as target:
        yield target


@contextlib.contextmanager
def running_nginx() -> Iterator[Target | None]:
    """Run nginx with a static `return 302`; None where it is not installed."""
    with _running_nginx(_PLAIN_NGINX, {}) as target:
        yield target


@contextlib.contextmanager
def running_nginx_lua(redis_url: str, link: dict[str, Any]) -> Iterator[Target | None]:
    """Run nginx with the edge's work in Lua, on a link as the API gives it; None where it cannot be.

    The link is written to Redis in the form that nginx_lua/redirect.lua reads.
    """
    modules = _find_lua_modules()
    if modules is None:
        yield None
        return
    redis = urlsplit(redis_url)
    with contextlib.closing(Redis.from_url(redis_url)) as connection:
        connection.set(f"lua:link:{link['slug']}", _write_link(link))
    values = {
        "MODULES": str(modules),
        "LUA": str(LUA_FOLDER),
        "REDIS_HOST": redis.hostname or "127.0.0.1",
        "REDIS_PORT": str(redis.port or 6379),
        "REDIS_PASSWORD": redis.password or "",
    }
    with _running_nginx((LUA_FOLDER / "nginx.conf").read_text(), values) as target:
        yield target


def _find_lua_modules() -> Path | None:
    """Give the folder of nginx's modules when the Lua module is among them."""
    nginx = shutil.which("nginx")
    if nginx is None:
        return None
    said = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=False).stderr  # noqa: S603  found on PATH
    folder = re.search(r"--modules-path=(\S+)", said)
    if folder is None or not (Path(folder[1]) / "ngx_http_lua_module.so").exists():
        return None
    return Path(folder[1])


def _write_link(link: dict[str, Any]) -> str:
    """Lay a link out: a line with its own fields, then a line for each variant."""
    lines = [f"{'0' * 31}1\t{link['id'].replace('-', '')}\t1"]
    for variant in link["variants"]:
        variant_id = variant["id"].replace("-", "")
        lines.append(f"{variant_id}\t{variant['label']}\t{variant['weight']}\t{variant['destination_url']}")
    return "\n".join(lines)


def _write_countries(path: Path) -> None:
    """Write networks with countries for nginx's `geo`: made up, but as many as a table has some of."""
    chance = random.Random(7)  # noqa: S311  the same table at every call
    blocks = {
        chance.getrandbits(24): chance.choice(("BR", "DE", "FR", "IN", "US")) for _ in range(COUNTRY_BLOCKS)
    }
    path.write_text(
        "".join(
            f"{block >> 16}.{block >> 8 & 255}.{block & 255}.0/24 {country};\n"
            for block, country in blocks.items()
        )
    )


@contextlib.contextmanager
def _running_nginx(template: str, values: dict[str, str]) -> Iterator[Target | None]:
    nginx = shutil.which("nginx")
    if nginx is None:
        yield None
        return
    port = choose_port()
    with tempfile.TemporaryDirectory(prefix="switchyard-nginx-") as home:
        Path(home).chmod(0o711)
        configuration, all_values = Path(home) / "nginx.conf", {**values, "HOME": home, "PORT": str(port)}
        configuration.write_text(re.sub("@([A-Z_]+)@", lambda match: all_values[match[1]], template))
        configuration.chmod(0o600)
        _write_countries(Path(home) / "countries.conf")
        command = [nginx, "-c", str(configuration)]
        with _running(command, port, SERVER_CORES, stderr=subprocess.DEVNULL) as target:
            yield target


@contextlib.contextmanager
def _running(command: list[str], port: int, cores: set[int], **options: Any) -> Iterator[Target]:
    server = start_pinned(command, cores, **options)
    try:
        url = f"http://127.0.0.1:{port}"
        await_answer(url)
        yield Target(url, server.pid)
    finally:
        stop(server)
