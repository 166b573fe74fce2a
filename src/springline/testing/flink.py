"""A real Flink cluster on the loopback interface: JobManager, TaskManagers and, where asked for, ZooKeeper.

For the cluster's tests, and for trying the cluster on one machine. Each is a Java process that is held by its number, so
that a test can kill it. Flink's connector to Kafka and its Python side are on the class path.

::

    with FlinkCluster(Path("flink")) as cluster:
        subprocess.run([*cluster.flink_run, "-py", "job.py"], env={**os.environ, **cluster.environment})
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.request
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal

from springline.errors import ConfigurationError
from springline.testing import artefacts
from springline.testing.processes import ServerProcess, free_ports, lock_folder

DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "jobmanager.memory.process.size": "1024m",
    "taskmanager.memory.process.size": "2048m",
    "taskmanager.memory.managed.size": "256m",
    # Enough buffers for some hundreds of tasks.
    "taskmanager.memory.network.min": "256m",
    "taskmanager.memory.network.max": "256m",
    # A session in which job follows job keeps loading classes.
    "taskmanager.memory.jvm-metaspace.size": "384m",
    # A killed TaskManager is missed within seconds, and its tasks start elsewhere at once.
    "heartbeat.interval": "2 s",
    "heartbeat.timeout": "20 s",
    "cluster.registration.error-delay": "1 s",
    "cluster.registration.max-timeout": "2 s",
    "pekko.lookup.timeout": "3 s",
    # On a busy machine some hundreds of tasks take longer than the default of 10 s to answer.
    "pekko.ask.timeout": "60 s",
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "500 ms",
    "restart-strategy.exponential-delay.max-backoff": "5 s",
    "web.refresh-interval": "250",
    "web.checkpoints.history": "50",
    # How old what the coordinator of cuts sees of the sources may be.
    "metrics.fetcher.update-interval": "50",
}
_NO_ANSWER: Final = (OSError, ValueError, http.client.HTTPException)
_HIGH_AVAILABILITY: Final[Mapping[str, str]] = {
    "high-availability.type": "zookeeper",
    "high-availability.cluster-id": "/springline",
    # A killed JobManager stays the leader until its session is over.
    "high-availability.zookeeper.client.session-timeout": "6 s",
    "high-availability.zookeeper.client.connection-timeout": "6 s",
}
_ZOOKEEPER: Final = """
tickTime=1000
initLimit=10
syncLimit=5
admin.enableServer=false
clientPortAddress=127.0.0.1
"""
_LOGGING: Final = """
rootLogger.level = INFO
rootLogger.appenderRef.only.ref = Only
appender.only.name = Only
appender.only.layout.type = PatternLayout
appender.only.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
"""
_TO_CONSOLE: Final = f"{_LOGGING}appender.only.type = CONSOLE\n"
_TO_FILE: Final = f"{_LOGGING}appender.only.type = FILE\nappender.only.fileName = ${{sys:log.file}}\n"


class FlinkCluster:
    """One cluster. Not thread-safe; one process at a time may use a folder.

    ``settings`` (Flink's own names) go over :data:`DEFAULT_SETTINGS` and count from each process's next start. With
    ``zookeeper`` a JobManager that is killed and started again takes up its jobs from their last checkpoints; without, they
    are gone. Checkpoints lie in ``checkpoints`` and logs in ``logs`` of the folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        taskmanagers: int = 1,
        slots: int = 8,
        zookeeper: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self.settings = {
            **DEFAULT_SETTINGS,
            "taskmanager.numberOfTaskSlots": str(slots),
            **(_HIGH_AVAILABILITY if zookeeper else {}),
            **(settings or {}),
        }
        self.logs = self.folder / "logs"
        self._first_taskmanagers = taskmanagers
        self._has_zookeeper = zookeeper
        self._flink: artefacts.Flink | None = None
        self._lock: int | None = None
        self._ports: list[int] = []
        self._numbers = count(1)
        self._zookeeper: ServerProcess | None = None
        self._jobmanager: ServerProcess | None = None
        self._taskmanagers: dict[int, ServerProcess] = {}

    @property
    def rest(self) -> str:
        """The JobManager's address, ``http://127.0.0.1:PORT``: of the REST interface, and of the page in a browser. The same as
        long as this object lives. Raises ConfigurationError before the first start."""
        return f"http://127.0.0.1:{self._started()[0]}"

    @property
    def python(self) -> Path:
        """The interpreter that has PyFlink; jobs' Python functions run in it too."""
        self._started()
        return self._distribution().python

    @property
    def environment(self) -> dict[str, str]:
        """What has to be in the environment of a program that submits a job here, be it ``flink_run`` or one with PyFlink."""
        self._started()
        flink = self._distribution()
        return {
            "FLINK_HOME": str(flink.home),
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LIB_DIR": str(flink.lib),
            "FLINK_LOG_DIR": str(self.logs),
            "PATH": f"{flink.python.parent}{os.pathsep}{os.environ['PATH']}",
        }

    @property
    def flink_run(self) -> list[str]:
        """The command that submits a job here, to go on with ``-py job.py``, say. It wants the ``environment``."""
        return [str(self._distribution().home / "bin" / "flink"), "run"]

    @property
    def client_settings(self) -> dict[str, str]:
        """What ``python job.py`` has to set in its table environment's configuration to run its jobs here: on its own, PyFlink runs
        them inside the client."""
        rest = str(self._started()[0])
        return {"execution.target": "remote", "rest.address": "127.0.0.1", "rest.port": rest}

    @property
    def jobmanager(self) -> int | None:
        """The JobManager's process while it lives."""
        return self._jobmanager.pid if self._jobmanager is not None and self._jobmanager.lives() else None

    @property
    def taskmanagers(self) -> dict[int, int]:
        """The processes of the living TaskManagers, by the numbers that :meth:`kill_taskmanager` takes."""
        return {number: process.pid for number, process in self._living().items()}

    def start(self, timeout_s: float = 120.0) -> None:
        """Starts the whole cluster and returns when all its TaskManagers are registered. Idempotent. Raises
        ConfigurationError, with the end of the log, where a process does not come up."""
        if self.jobmanager is not None:
            return
        flink = self._distribution()
        self._lock = self._lock or lock_folder(self.folder)
        try:
            self._prepare(flink)
            if self._has_zookeeper:
                self._zookeeper = self._launch("zookeeper", "zookeeper.sh", "1")
            self._launch_jobmanager()
            for _ in range(self._first_taskmanagers):
                self._launch_taskmanager()
            self._wait_for_jobmanager(timeout_s)
        except BaseException:
            self._kill()
            raise

    def stop(self) -> None:
        """Stops the whole cluster in order. Idempotent. With ZooKeeper its jobs go on after the next ``start``."""
        clients = [*self._taskmanagers.values(), *([self._jobmanager] if self._jobmanager else [])]
        for process in clients:
            process.ask_to_end()
        for process in [*clients, *([self._zookeeper] if self._zookeeper else [])]:
            process.end()
        self._let_go()

    def start_jobmanager(self, timeout_s: float = 120.0) -> None:
        """Starts the JobManager after :meth:`kill_jobmanager`; returns when it leads and the living TaskManagers are registered.
        Its jobs, where it has ZooKeeper, may still be on their way back."""
        self._started()
        if self.jobmanager is None:
            self._launch_jobmanager()
        self._wait_for_jobmanager(timeout_s)

    def kill_jobmanager(self) -> None:
        """SIGKILL to the JobManager. Idempotent."""
        if self._jobmanager is not None:
            self._jobmanager.kill()

    def start_taskmanager(self, timeout_s: float = 120.0) -> int:
        """Starts one more TaskManager, returns its number when it is registered."""
        self._started()
        number = self._launch_taskmanager()
        self._taskmanagers[number].wait_until(lambda: self._registered({number}), timeout_s)
        return number

    def kill_taskmanager(self, number: int) -> None:
        """SIGKILL to a TaskManager and the Python processes that it started. The first ones are numbered from 1. Idempotent."""
        if number not in self._taskmanagers:
            raise ConfigurationError(
                f"There is no TaskManager {number}; there are {sorted(self._taskmanagers)}.",
                hint="Use a number that taskmanagers lists, or that start_taskmanager() returned.",
            )
        self._taskmanagers[number].kill()

    def request(
        self,
        path: str,
        *,
        method: Literal["GET", "POST", "PATCH", "DELETE"] = "GET",
        body: object = None,
        timeout_s: float = 10.0,
    ) -> Any:
        """The REST interface's answer to ``path`` (``/jobs/overview``, say). Raises OSError, of which urllib's errors are."""
        request = urllib.request.Request(
            f"{self.rest}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        # No proxy stands between us and ourselves.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout_s) as response:
            return json.loads(response.read() or b"null")

    def __enter__(self) -> FlinkCluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it is done.

    def _distribution(self) -> artefacts.Flink:
        if self._flink is None:
            self._flink = artefacts.flink()
        return self._flink

    def _started(self) -> list[int]:
        if not self._ports:
            raise ConfigurationError(
                f"The Flink cluster in {self.folder} was not started yet.", hint="Call start() first."
            )
        return self._ports

    def _prepare(self, flink: artefacts.Flink) -> None:
        for name in ("conf", "logs", "checkpoints", "temporary", "zookeeper", "jobs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self._ports:
            self._ports = free_ports(3)
        conf = self.folder / "conf"
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in self._configuration(flink).items()]
        (conf / "config.yaml").write_text("".join(lines))
        (conf / "log4j-console.properties").write_text(_TO_CONSOLE)
        (conf / "log4j-cli.properties").write_text(_TO_FILE)
        (conf / "zoo.cfg").write_text(
            f"{_ZOOKEEPER}dataDir={self.folder / 'zookeeper'}\nclientPort={self._ports[2]}\n"
        )

    def _configuration(self, flink: artefacts.Flink) -> dict[str, str]:
        rest, rpc, zookeeper = map(str, self._ports)
        # What Java has to open to Flink is told by the distribution's own configuration.
        options = re.search(r"^ +all: (.*)$", (flink.home / "conf" / "config.yaml").read_text(), re.MULTILINE)
        configuration = {
            "env.java.opts.all": "" if options is None else options[1],
            "env.log.dir": str(self.logs),
            "env.pid.dir": str(self.folder / "temporary"),
            "io.tmp.dirs": str(self.folder / "temporary"),
            "web.tmpdir": str(self.folder / "temporary"),
            "execution.target": "remote",
            "execution.checkpointing.dir": (self.folder / "checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": (self.folder / "checkpoints").as_uri(),
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": rpc,
            "jobmanager.bind-host": "127.0.0.1",
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": rest,
            "rest.bind-port": rest,
            "python.executable": str(flink.python),
            "python.client.executable": str(flink.python),
        }
        if self._has_zookeeper:
            configuration["high-availability.zookeeper.quorum"] = f"127.0.0.1:{zookeeper}"
            configuration["high-availability.storageDir"] = (self.folder / "jobs").as_uri()
        return {**configuration, **self.settings}

    def _launch(self, name: str, script: str, *arguments: str) -> ServerProcess:
        """Flink's own script, which becomes the Java process: it computes the sizes of its memory."""
        # Python functions run inside TaskManagers: with what their environment has, not with ours.
        environment = {**self.environment, "PYTHONPATH": ""}
        command = [str(self._distribution().home / "bin" / script), "start-foreground", *arguments]
        if self._lock is None:
            raise ConfigurationError(
                f"The Flink cluster in {self.folder} does not run.", hint="Call start() first."
            )
        return ServerProcess(
            f"Flink's {name}",
            command,
            log=self.logs / f"{name}.log",
            lock=self._lock,
            environment=environment,
        )

    def _launch_jobmanager(self) -> None:
        self._jobmanager = self._launch("jobmanager", "jobmanager.sh")

    def _launch_taskmanager(self) -> int:
        number = next(self._numbers)
        name = f"taskmanager-{number}"
        self._taskmanagers[number] = self._launch(
            name, "taskmanager.sh", "-D", f"taskmanager.resource-id={name}"
        )
        return number

    def _living(self) -> dict[int, ServerProcess]:
        return {number: process for number, process in self._taskmanagers.items() if process.lives()}

    def _wait_for_jobmanager(self, timeout_s: float) -> None:
        assert self._jobmanager is not None
        self._jobmanager.wait_until(self._leads, timeout_s)
        for number, process in self._living().items():
            process.wait_until(lambda number=number: self._registered({number}), timeout_s)

    def _leads(self) -> bool:
        try:
            self.request("/overview", timeout_s=2.0)
        except _NO_ANSWER:
            return False
        return True

    def _registered(self, numbers: set[int]) -> bool:
        try:
            known = self.request("/taskmanagers", timeout_s=2.0)["taskmanagers"]
        except _NO_ANSWER:
            return False
        return {f"taskmanager-{number}" for number in numbers} <= {entry["id"] for entry in known}

    def _kill(self) -> None:
        for process in [*self._taskmanagers.values(), self._jobmanager, self._zookeeper]:
            if process is not None:
                process.kill()
        self._let_go()

    def _let_go(self) -> None:
        self._taskmanagers.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
