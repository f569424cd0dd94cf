"""A real mosquitto on a free port, a real mosquitto_sub, certificates, and frames to publish."""

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.mqtt import MqttOutlet, MqttSettings, messages
from engine.stage.frame import ShowFrame
from xdancer.music.frame import BeatState

PASSWORD = "open sesame"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker of its own for one test; `stop` and `start` as often as needed, on the same port.

    `tls`: it speaks only TLS, with a certificate of a new authority, whose own is `ca`.
    """

    def __init__(self, folder: Path, password: str | None = None, tls: bool = False) -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.scheme = "mqtts" if tls else "mqtt"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}"]
        if tls:
            self.ca = certificates(folder)
            lines += [f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}"]
        if password:
            secrets = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", secrets, "dj", password], check=True)
            secrets.chmod(0o644)
            folder.chmod(0o755)
            lines.append(f"password_file {secrets}")
        self.config.write_text("user root\n" + "\n".join(lines) + "\n")
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen(
            [program, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        wait_for(self._answers)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False


class Subscriber:
    """A real mosquitto_sub: `lines` holds (topic, payload) as they come."""

    def __init__(self, port: int, topic: str, *options: str) -> None:
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-F", "%t %p", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def read(self, n: int, within: float = 15.0) -> list[tuple[str, str]]:
        """The next `n` messages as (topic, payload)."""
        loop = asyncio.get_running_loop()
        watchdog = loop.call_later(within, self.process.kill)
        got = []
        for _ in range(n):
            line = await loop.run_in_executor(None, self.process.stdout.readline)
            assert line, f"only {len(got)} of {n} messages came within {within} s: {self.process.stderr.read()}"
            topic, _, payload = line.rstrip("\n").partition(" ")
            got.append((topic, payload))
        watchdog.cancel()
        return got

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def certificates(folder: Path) -> Path:
    """A new authority's certificate (returned), and broker.pem and broker.key, signed by it for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "broker")]
    for key, name, authority in zip(keys, names, (True, False), strict=True):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        file = folder / ("ca.pem" if authority else "broker.pem")
        file.write_bytes(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "broker.key").write_bytes(private)
    return folder / "ca.pem"


def wait_for(true: Callable[[], bool], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


async def until(true: Callable[[], bool], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "nothing happened"
        await asyncio.sleep(0.01)


def show_frame(index: int, beat: BeatState | None = None, free_running: bool = False) -> ShowFrame:
    rng = np.random.default_rng(index)
    pose = rng.uniform(0, 500, (60, 3)).astype(np.float32)
    pose[:, 2] = rng.uniform(0, 1, 60)
    return ShowFrame(
        index=index,
        due=1e9 + index / 30,
        picture=np.zeros((2, 2, 3), np.uint8),
        sound=np.zeros((1600, 2), np.float32),
        pose=pose,
        tokens=None if free_running else rng.integers(0, 512, (5, 6)).astype(np.int16),
        beat=beat or BeatState(),
    )


def outlet(url: str, **options: object) -> MqttOutlet:
    settings = {key: options.pop(key) for key in MqttSettings.model_fields if key in options}
    return MqttOutlet(
        MqttSettings(url=url, **settings),
        show="main",
        session=options.pop("session", "s1"),
        meta=options.pop("meta", None) or messages.meta(12, "live-1", "a" * 64, None),
        params=options.pop("params", {"energy": 0.5, "seed": 7}),
        **options,
    )
