"""Everything a performer can plug in: one OSC port, one MIDI port, open to whoever else wants to hear them."""

from engine.config import Config
from engine.control.knobs import Knobs
from engine.control.midi import MidiParams, MidiPort
from engine.control.osc import OscParams, OscServer
from engine.control.performer import Performer


class Desk:
    """Others hang their own handlers on `osc` (by address) and `midi` (by type of message) before `start`.

    Raises UserError where the configuration asks for what is not installed.
    """

    def __init__(self, config: Config, performer: Performer) -> None:
        self._knobs = Knobs(performer.set, lambda: performer.params)
        self.osc = OscServer(config.osc)
        self.midi = MidiPort(config.midi.port)
        OscParams(self.osc, self._knobs, performer.tap)
        self.midi_params = MidiParams(config.midi, self.midi, self._knobs, performer.presets.all, performer.tap)

    async def start(self) -> None:
        """Listen. Raises UserError where the OSC port is taken."""
        await self.osc.start()
        self.midi.start()

    async def stop(self) -> None:
        self.osc.stop()
        await self.midi.stop()
        self._knobs.close()
