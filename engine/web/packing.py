"""RTP payloads, split once for all viewers, and the sender that takes them so.

aiortc splits each encoded frame anew for every viewer and answers each viewer's feedback with its own encoder. Here the
frame comes split, and what a viewer's browser says of its reception goes to who decides for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
from aiortc import RTCRtpSender, rtp
from aiortc.codecs import h264, opus, vpx
from aiortc.rtcrtpsender import RTCEncodedFrame

# IPv6 asks no link for more than 1280 bytes, and VPNs offer no more. Off go 40 for IPv6, 8 for UDP, 12 for RTP, 16 for
# its extensions and 16 for the SRTP tag.
MOST_PAYLOAD = 1180
h264.PACKET_MAX = vpx.PACKET_MAX = MOST_PAYLOAD


@dataclass(frozen=True, slots=True)
class Packed:
    """One encoded frame as RTP payloads. `timestamp` is in ticks of the codec's RTP clock; `key` may begin a stream."""

    payloads: list[bytes]
    timestamp: int
    key: bool

    @property
    def size(self) -> int:
        return sum(map(len, self.payloads))


PACKERS: dict[str, Any] = {"h264": h264.H264Encoder, "vp8": vpx.Vp8Encoder, "opus": opus.OpusEncoder}


class Packer:
    """Splits the packets of one encoder: "h264" (RFC 6184), "vp8" (RFC 7741) or "opus" (RFC 7587)."""

    def __init__(self, codec: str) -> None:
        self._video = codec != "opus"
        self._packer = PACKERS[codec]()

    def pack(self, packet: av.Packet) -> Packed:
        payloads, timestamp = self._packer.pack(packet)
        return Packed(payloads, timestamp, not self._video or packet.is_keyframe)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a viewer's browser reports: `lost`, the share of packets lost since its last report (RFC 3550, 6.4.1), or
    `estimate`, the bits per second that it thinks can reach it (REMB). The other is None."""

    lost: float | None = None
    estimate: float | None = None


class SharedSender(RTCRtpSender):
    """A sender of `Packed` frames; its track's `recv` gives them. Made of another by `share`."""

    ask_key: Callable[[], None]
    feedback: Callable[[Feedback], None]

    async def _next_encoded_frame(self, codec: Any) -> RTCEncodedFrame:
        packed: Any = await self.track.recv()
        return RTCEncodedFrame(packed.payloads, packed.timestamp, None)  # type: ignore[arg-type]

    def _send_keyframe(self) -> None:
        self.ask_key()

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, rtp.RtcpRrPacket | rtp.RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self.feedback(Feedback(lost=report.fraction_lost / 256))
        elif isinstance(packet, rtp.RtcpPsfbPacket) and packet.fmt == rtp.RTCP_PSFB_APP:
            try:
                estimate, ssrcs = rtp.unpack_remb_fci(packet.fci)
            except ValueError:
                return  # another application's feedback
            if self._ssrc in ssrcs:
                self.feedback(Feedback(estimate=float(estimate)))


def share(
    sender: RTCRtpSender, ask_key: Callable[[], None], feedback: Callable[[Feedback], None] = lambda _: None
) -> None:
    """Let `sender`, which a peer connection has made, send packed frames. aiortc has no way to give it one of ours."""
    sender.__class__ = SharedSender
    assert isinstance(sender, SharedSender)
    sender.ask_key, sender.feedback = ask_key, feedback
