"""The fixtures of the MQTT tests: brokers that run, subscribers that listen."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from brokers import PASSWORD, Mosquitto, Subscriber, free_port, outlet, show_frame, until


@pytest.fixture
def tools() -> SimpleNamespace:
    """Helpers, as test modules cannot import from here."""
    return SimpleNamespace(frame=show_frame, outlet=outlet, until=until, free_port=free_port, PASSWORD=PASSWORD)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def locked_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path, PASSWORD)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    running = []

    def begin(port: int, topic: str, *options: str) -> Subscriber:
        running.append(Subscriber(port, topic, *options))
        return running[-1]

    yield begin
    for subscriber in running:
        subscriber.stop()
