"""Apache Kafka itself, one broker in KRaft mode on loopback, for what the mock cluster cannot do.

Its jars come from Maven once, into a cache outside of the repository. It needs Java 17 and Maven.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from orchestration.local.runtime.processes import Supervised, free_port

VERSION = "4.1.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reference-pipeline" / f"kafka-{VERSION}"
USER, PASSWORD = "lander", "password-of-the-real-kafka"
START_SECONDS = 60
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}";
log.dirs={folder}/log
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
"""


def missing() -> str | None:
    """Why there is no Kafka here, in one line; None if there is."""
    for program in ("java", "mvn"):
        if not shutil.which(program):
            return f"Apache Kafka is not tried: {program} is not on the PATH, and it needs Java 17 and Maven"
    try:
        _jars()
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stdout or b"").decode(errors="replace").split())[:200]
        return f"Apache Kafka is not tried: Maven did not bring its jars: {said}"
    return None


def _jars() -> Path:
    """The folder of all jars."""
    if not (CACHE / "jars").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "pom.xml").write_text(POM)
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=part"]
        subprocess.run(command, cwd=CACHE, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        (CACHE / "part").rename(CACHE / "jars")
    return CACHE / "jars"


@dataclass
class RealKafka:
    """A broker that may be killed and started again; it keeps its ports and its log."""

    folder: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("plain", "secured", "controller")}
    )
    process: Supervised | None = None

    @property
    def address(self) -> str:
        """Where everybody may read and write."""
        return f"127.0.0.1:{self.ports['plain']}"

    @property
    def secured(self) -> str:
        """Where `USER` may, with SASL PLAIN."""
        return f"127.0.0.1:{self.ports['secured']}"

    def start(self) -> None:
        """Starts it and waits until it answers; the first time it is formatted."""
        settings = self.folder / "server.properties"
        if not settings.exists():
            settings.write_text(SETTINGS.format(folder=self.folder, user=USER, password=PASSWORD, **self.ports))
            format_ = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(settings)]
            subprocess.run(self._java(*format_), check=True, capture_output=True)
        self.process = Supervised("Kafka", self._java("kafka.Kafka", str(settings)), log=self.folder / "kafka.log")
        until = time.monotonic() + START_SECONDS
        while True:
            self.process.check()
            try:
                AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=1)
                return
            except KafkaException:
                if time.monotonic() > until:
                    raise

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        for process in psutil.Process().children(recursive=True):
            command = process.cmdline()
            if command[:1] == ["java"] and str(self.folder / "server.properties") in command:
                process.kill()
        self.process.wait()

    @staticmethod
    def _java(*arguments: str) -> list[str]:
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{_jars()}/*", *arguments]


@contextmanager
def real_kafka(folder: Path) -> Iterator[RealKafka]:
    """Serves Kafka on free ports of loopback, with all its state below a folder."""
    running = RealKafka(folder)
    try:
        running.start()
        yield running
    finally:
        if running.process:
            running.process.stop()
