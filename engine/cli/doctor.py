"""`xdancer doctor`: what this machine has for a show and for the tests, what is missing and how to get it."""

import argparse
import importlib.util
import platform
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.cli.common import add_json, emit

APT = "apt-get install "
SOUNDFONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/soundfonts/FluidR3_GM.sf2")
CODECS = {"libx264": "H.264 video", "libvpx": "VP8 video", "libopus": "Opus sound", "aac": "AAC sound"}
PACKAGES = ("aiohttp", "aiomqtt", "aiortc", "amqtt", "av", "cv2", "numpy", "PIL", "psutil", "pydantic", "pythonosc",
            "safetensors", "scipy")  # fmt: skip
EXTRAS = {  # what a show can do without: the module, what for, how to get it
    "aalink": ("beats by Ableton Link", "pip install 'xdancer[link]'"),
    "mediapipe": ("the pose of who is on a photograph", "pip install 'xdancer[pose]', with Python 3.11 or 3.12"),
}
FILES_MOST = 2048  # open files: a viewer takes three or four
DISK_LEAST = 5e9  # bytes: a night of film


@dataclass(frozen=True)
class Check:
    """One finding. `needed` is by whom: the `show`, the `tests`, or nobody (`extra`); `fix` says how to get it."""

    what: str
    ok: bool
    found: str
    needed: str
    fix: str = ""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("doctor", help="devices, codecs, versions; what is missing and how to get it")
    parser.add_argument("--port", type=int, default=8080, help="the port that the show will serve on (default 8080)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, or 1 where a show could not run."""
    from tqdm import tqdm

    checks: list[Check] = []
    groups: list[Callable[[], Iterator[Check]]] = [
        _python, _packages, _extras, _torch, _codecs, _weights, lambda: _ports(args.port),
        _sound, _midi, _link, _room, _test_tools,
    ]  # fmt: skip
    for group in tqdm(groups, desc="looking", leave=False, disable=args.json or not sys.stderr.isatty()):
        checks += group()
    can_run = all(check.ok for check in checks if check.needed == "show")
    emit({"can_run": can_run, "checks": [asdict(check) for check in checks]}, _report(checks, can_run), args.json)
    return 0 if can_run else 1


def _report(checks: list[Check], can_run: bool) -> str:
    lines = []
    for check in checks:
        mark = "ok     " if check.ok else "MISSING" if check.needed == "show" else "-      "
        lines.append(f"{mark} {check.what:<22} {check.found}")
        if not check.ok:
            purpose = {"show": "needed for a show", "tests": "needed by the tests", "extra": "optional"}[check.needed]
            lines.append(f"{'':8}{'':22} {purpose}: {check.fix}")
    lines.append("\nA show can run: xdancer live --audio demo" if can_run else "\nA show cannot run: see MISSING above")
    return "\n".join(lines)


def _python() -> Iterator[Check]:
    version = platform.python_version()
    yield Check("python", sys.version_info >= (3, 11), f"{version} on {platform.platform()}", "show",
                "install Python 3.11 or later")  # fmt: skip


def _packages() -> Iterator[Check]:
    for name in PACKAGES:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a package may be there and broken in its own way
            yield Check(name, False, _first_line(error), "show", "pip install xdancer")
        else:
            yield Check(name, True, str(getattr(module, "__version__", "installed")), "show")


def _extras() -> Iterator[Check]:
    for name, (what, fix) in EXTRAS.items():
        try:
            importlib.import_module(name)
        except Exception as error:  # some come with libraries that the system lacks
            missing = isinstance(error, ModuleNotFoundError)
            yield Check(name, False, f"no {what}" if missing else _first_line(error), "extra", fix)
        else:
            yield Check(name, True, what, "extra")


def _torch() -> Iterator[Check]:
    try:
        import torch
    except Exception as error:
        yield Check("torch", False, _first_line(error), "show", "pip install torch")
        return
    yield Check("torch", True, f"{torch.__version__}, {torch.get_num_threads()} CPU threads", "show")
    cuda = torch.cuda.is_available()
    yield Check("cuda", cuda, torch.cuda.get_device_name(0) if cuda else "no NVIDIA GPU that torch can use", "extra",
                "only the diffusion renderer gains by one")  # fmt: skip
    mps = torch.backends.mps.is_available()
    if sys.platform == "darwin":
        yield Check(
            "mps", mps, "Apple GPU" if mps else "no Apple GPU that torch can use", "extra", "macOS 12.3 or later"
        )


def _codecs() -> Iterator[Check]:
    try:
        import av
    except Exception:  # said by _packages
        return
    for name, what in CODECS.items():
        try:
            av.Codec(name, "w")
        except Exception:
            yield Check(f"codec {name}", False, f"no {what}", "show", "pip install --force-reinstall av")
        else:
            yield Check(f"codec {name}", True, what, "show")


def _weights() -> Iterator[Check]:
    from engine.config import Config
    from engine.studio.models import load_models
    from xdancer import weights
    from xdancer.errors import UserError

    fix = "pip install --force-reinstall xdancer"
    for part in ("beats", "tokenizer", "choreographer", "renderer"):
        needed = "extra" if part == "renderer" else "show"  # the skeleton dances without
        try:
            folder = weights.find(part, "live")
            weights.load_arrays(folder)
        except UserError as error:
            yield Check(f"weights {part}", False, str(error), needed, fix)
        else:
            yield Check(f"weights {part}", True, f"{folder.name}, sha256 {weights.sha256(folder)[:12]}", needed)
    try:
        models = load_models(Config())
    except UserError as error:
        yield Check("a frame of dance", False, str(error), "show", fix)
    else:
        dancers = f"{models.choreographer.name} on tokenizer {models.tokenizer.name}"
        yield Check("a frame of dance", True, f"choreographer {dancers}", "show")


def _ports(port: int) -> Iterator[Check]:
    for number, what, needed, fix in (
        (port, "viewer", "show", f"stop what listens there, or: xdancer live --port {port + 1}"),
        (1883, "MQTT", "extra", "the embedded broker takes another port; or set mqtt.url to the broker that is there"),
        (9001, "MQTT WebSocket", "extra", "the embedded broker takes another port"),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError as error:
                yield Check(f"port {number}", False, f"{what}: {error.strerror}", needed, fix)
            else:
                yield Check(f"port {number}", True, f"free for {what}", needed)


def _sound() -> Iterator[Check]:
    """A show can play files and streams without any sound card."""
    fix = "Debian: apt-get install libportaudio2; for `live --audio device`"
    try:
        import sounddevice

        names = [device["name"] for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    except Exception as error:  # OSError without PortAudio, PortAudioError with one that is broken
        yield Check("sound input", False, _first_line(error), "extra", fix)
        return
    if not names:
        yield Check("sound input", False, "PortAudio sees no input device", "extra", "plug one in, or play a file")
    for name in names:
        yield Check("sound input", True, f"device:{name}", "extra")


def _midi() -> Iterator[Check]:
    from engine.control.midi import midi_client

    try:
        client = midi_client()
    except ImportError:
        yield Check("MIDI input", False, "no python-rtmidi", "extra", "pip install 'xdancer[midi]'; for `midi.port`")
        return
    if client is None:
        yield Check("MIDI input", False, "no MIDI system answers", "extra", "Linux: modprobe snd-seq, or start JACK")
        return
    names = client.get_ports()
    client.delete()
    if not names:
        yield Check("MIDI input", False, "no controller", "extra", "plug one in")
    for name in names:
        yield Check("MIDI input", True, name, "extra")


def _link() -> Iterator[Check]:
    there = importlib.util.find_spec("aalink") is not None
    yield Check("Ableton Link", there, f"aalink {'installed' if there else 'not installed'}", "extra",
                "pip install 'xdancer[link]'; for `clock.link=true`")  # fmt: skip


def _room() -> Iterator[Check]:
    """For many viewers, and for a night of film."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = files == resource.RLIM_INFINITY or files >= FILES_MOST
    yield Check("open files", enough, f"at most {files}", "extra", f"for hundreds of viewers: ulimit -n {FILES_MOST}")
    free = shutil.disk_usage(".").free
    yield Check("disk", free >= DISK_LEAST, f"{free / 1e9:.1f} GB free here", "extra",
                "recordings need about 1 GB an hour; recordings=FOLDER puts them elsewhere")  # fmt: skip


def _test_tools() -> Iterator[Check]:
    for program, package in (
        ("mosquitto", "mosquitto"), ("mosquitto_sub", "mosquitto-clients"), ("fluidsynth", "fluidsynth"),
        ("pulseaudio", "pulseaudio"), ("jackd", "jackd2"),
    ):  # fmt: skip
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
        yield Check(program, path is not None, path or "not found", "tests", APT + package)
    font = next((name for name in SOUNDFONTS if Path(name).exists()), None)
    yield Check("soundfont", font is not None, font or "no FluidR3_GM.sf2", "tests", APT + "fluid-soundfont-gm")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Check(
        "browser", browser is not None, _version(browser) if browser else "no Chromium", "tests", APT + "chromium"
    )


def _version(program: str) -> str:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return program
    return (answer.stdout.strip().splitlines() or [program])[0]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
