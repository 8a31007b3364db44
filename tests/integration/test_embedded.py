"""The embedded servers: started, found again, recovered, ended."""

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import environ
import psutil
import psycopg2
import pytest

from core import embedded, processes
from core.embedded import place


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    # Not tmp_path: pytest's names are so long that every test would take the short way round.
    directory = Path(tempfile.mkdtemp(prefix="bh-"))
    yield directory
    embedded.stop(data_dir=directory)
    shutil.rmtree(directory)


def ask(data_dir: Path, query: str) -> object:
    config = environ.Env.db_url_config(embedded.urls(data_dir=data_dir).database_url)
    with contextlib.closing(
        psycopg2.connect(host=config["HOST"], user=config["USER"], dbname=config["NAME"])
    ) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def ask_valkey(data_dir: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place.of(data_dir).valkey_socket))
        client.sendall(f"{command}\r\n".encode())
        return client.recv(4096).decode()


def postmaster(data_dir: Path) -> psutil.Process:
    return psutil.Process(int((place.of(data_dir).cluster / "postmaster.pid").read_text().split()[0]))


def servers(data_dir: Path) -> list[psutil.Process]:
    home = place.of(data_dir)
    return [
        *processes.in_directory("postgres", cwd=home.cluster),
        *processes.in_directory("valkey-server", cwd=home.home),
    ]


def lasting(found: list[psutil.Process]) -> list[psutil.Process]:
    """Without PostgreSQL's helpers that come and go: the servers, whose parent is none of the others."""
    pids = {process.pid for process in found}
    return [process for process in found if process.is_running() and _parent(process) not in pids]


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return process.pid  # gone meanwhile: counted as its own helper, and left out


def test_both_servers_answer_with_durable_settings(data_dir: Path) -> None:
    services = embedded.start(data_dir=data_dir)
    assert services == embedded.urls(data_dir=data_dir)
    assert ask(data_dir, "SELECT current_database() || ' ' || current_user") == "bellhop bellhop"
    assert ask(data_dir, "SHOW server_version_num").startswith("18")  # type: ignore[attr-defined]
    settings = ("fsync", "synchronous_commit", "full_page_writes", "server_encoding", "max_connections")
    values = [ask(data_dir, f"SHOW {name}") for name in settings]
    assert values == ["on", "on", "on", "UTF8", "200"]
    assert "noeviction" in ask_valkey(data_dir, "CONFIG GET maxmemory-policy")


def test_nobody_else_can_connect_and_the_terminal_does_not_reach_them(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    running = lasting(servers(data_dir))
    assert {process.name() for process in running} == {"postgres", "valkey-server"}
    assert [c for process in running for c in process.net_connections(kind="inet")] == []
    assert os.getsid(0) not in {os.getsid(process.pid) for process in running}
    assert place.of(data_dir).sockets.stat().st_mode & 0o777 == 0o700
    assert 0 not in {process.uids().effective for process in running}


def test_starting_twice_changes_nothing(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    before = {process.pid for process in lasting(servers(data_dir))}
    first = postmaster(data_dir)
    embedded.start(data_dir=data_dir)
    assert postmaster(data_dir) == first
    assert {process.pid for process in servers(data_dir)} & before == before


def test_all_killed_and_nothing_committed_is_lost(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    ask(data_dir, "CREATE TABLE IF NOT EXISTS kept (id int)")
    ask(data_dir, "TRUNCATE kept")
    ask(data_dir, "INSERT INTO kept VALUES (7)")
    processes.kill(servers(data_dir))
    # A helper that was just being made ends by itself without its server.
    assert processes.wait_until(lambda: servers(data_dir) == [], seconds=10)
    embedded.start(data_dir=data_dir)
    assert ask(data_dir, "SELECT id FROM kept") == 7
    assert ask_valkey(data_dir, "PING") == "+PONG\r\n"


def test_a_killed_postmaster_with_a_busy_client(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(ask, data_dir, "SELECT pg_sleep(60)")
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        assert processes.wait_until(lambda: ask(data_dir, asleep) == 1, seconds=10)
        postmaster(data_dir).kill()
        embedded.start(data_dir=data_dir)
        assert ask(data_dir, "SELECT 1") == 1
        with pytest.raises(psycopg2.OperationalError):
            busy.result(timeout=10)


def test_a_stopped_valkey_is_replaced(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    (valkey,) = processes.in_directory("valkey-server", cwd=place.of(data_dir).home)
    valkey.suspend()
    embedded.start(data_dir=data_dir)
    assert ask_valkey(data_dir, "PING") == "+PONG\r\n"
    assert not processes.alive(valkey)


def test_a_pid_file_that_names_another_program(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    (place.of(data_dir).cluster / "postmaster.pid").write_text(f"{os.getpid()}\n")
    (place.of(data_dir).sockets / f"{place.PG_SOCKET}.lock").write_text(f"{os.getpid()}\n")
    embedded.start(data_dir=data_dir)
    assert ask(data_dir, "SELECT 1") == 1


def test_files_deleted_below_running_servers(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    before = servers(data_dir)
    shutil.rmtree(place.of(data_dir).home)
    embedded.start(data_dir=data_dir)
    assert ask(data_dir, "SELECT to_regclass('kept') IS NULL") is True
    assert [process for process in before if processes.alive(process)] == []


def test_two_callers_at_once_from_nothing(data_dir: Path) -> None:
    embedded.stop(data_dir=data_dir)
    shutil.rmtree(place.of(data_dir).home)
    with ThreadPoolExecutor(2) as pool:
        starts = [pool.submit(embedded.start, data_dir=data_dir) for _ in range(2)]
        assert starts[0].result(timeout=60) == starts[1].result(timeout=60)
    # Its children are called "postgres: checkpointer" and so on.
    leaders = [process.name() for process in lasting(servers(data_dir)) if process.cmdline()[0].startswith("/")]
    assert leaders == ["postgres", "valkey-server"]
    assert ask(data_dir, "SELECT 1") == 1


def test_stopping_leaves_no_process_and_can_be_repeated(data_dir: Path) -> None:
    embedded.start(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    assert servers(data_dir) == []
    embedded.stop(data_dir=data_dir)
    with pytest.raises(psycopg2.OperationalError):
        ask(data_dir, "SELECT 1")


def test_a_directory_too_deep_for_a_socket_path_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / "a directory, with spaces" / ("x" * 100)
    sockets = place.of(deep).sockets
    try:
        embedded.start(data_dir=deep)
        assert ask(deep, "SELECT 1") == 1
        assert len(os.fsencode(sockets / place.PG_SOCKET)) <= place.MAX_SOCKET_PATH
        assert sockets != place.of(deep / "other").sockets
    finally:
        embedded.stop(data_dir=deep)
        shutil.rmtree(sockets, ignore_errors=True)


def test_a_full_disk_is_one_sentence(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MIN_FREE", 2**62)
    with pytest.raises(embedded.EmbeddedError, match=r"MB left and .* free some space, or set DATA_DIR"):
        embedded.start(data_dir=data_dir)


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(embedded.EmbeddedError, match=r"file cannot be used: "):
        embedded.start(data_dir=tmp_path / "file")
