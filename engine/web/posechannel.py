"""The dance over WebRTC: a data channel `pose` that a viewer opens carries the messages of the MQTT topic `pose`."""

import logging

from aiortc import RTCDataChannel, rtcsctptransport
from aiortc.exceptions import InvalidStateError

from engine.mqtt import messages
from engine.stage.frame import ShowFrame

log = logging.getLogger(__name__)

LABEL = "pose"
MOST_WAITING = 16 * 1024  # bytes, about half a second, that may wait for a slow viewer; then messages are dropped
# SCTP that does not fit through a VPN's 1280 bytes is lost without a word, and the channel stands still. Later versions
# of aiortc keep below by themselves.
rtcsctptransport.USERDATA_MAX_LENGTH = min(rtcsctptransport.USERDATA_MAX_LENGTH, 1100)


class PoseChannels:
    """All open channels. Each message is written once, when its frame is made, ahead of the picture by `due`.

    The viewer chooses how its channel delivers; unordered without retransmits is meant for it, for a pose that comes
    late is worth nothing.
    """

    def __init__(self, show: str, session: str) -> None:
        self.dropped = 0
        self._envelope = messages.Envelope(show, session)
        self._channels: set[RTCDataChannel] = set()

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: RTCDataChannel) -> None:
        """Serve a channel that a viewer has opened, if it is one of ours; others are closed."""
        if channel.label != LABEL:
            channel.close()
            return
        self._channels.add(channel)
        channel.on("close", lambda: self.discard(channel))

    def discard(self, channel: RTCDataChannel) -> None:
        self._channels.discard(channel)

    def made(self, frame: ShowFrame) -> None:
        if not self._channels:
            return
        text = self._envelope.write(LABEL, frame.index / messages.FPS, messages.pose(frame)).decode()
        for channel in tuple(self._channels):
            if channel.bufferedAmount + len(text) > MOST_WAITING:
                self.dropped += 1
                continue
            try:
                channel.send(text)
            except InvalidStateError:
                self.discard(channel)
            except ValueError:  # the viewer takes no messages of this size
                log.info("pose channel: a viewer takes no messages of %d bytes", len(text))
                self.discard(channel)
