"""WHEP (draft-ietf-wish-whep-03): a viewer POSTs an offer and is sent the show."""

import time
from collections.abc import Sequence

from aiortc import RTCDataChannel, RTCPeerConnection, RTCRtpSender, sdp

from engine.config import IceServer
from engine.web.broadcast import Broadcast, PacketTrack
from engine.web.packing import Feedback, share
from engine.web.posechannel import PoseChannels
from engine.web.rungs import RungChooser
from engine.web.sessions import Endpoint, Refused, Session, answered, offered

PREFERRED = ("h264", "vp8")


class Whep(Endpoint):
    """The endpoint for viewers. Each is sent the first codec of ours that it offers, in the rung that it can take."""

    def __init__(
        self,
        broadcast: Broadcast,
        poses: PoseChannels,
        ice_servers: Sequence[IceServer] = (),
        path: str = "/whep",
        most: int = 256,
    ) -> None:
        super().__init__(path, most, ice_servers)
        self._broadcast, self._poses = broadcast, poses

    async def _answer(self, session: Session, offer: sdp.SessionDescription, text: str) -> str:
        offers = {media.kind: {codec.name.lower() for codec in media.rtp.codecs} for media in offer.media}
        video = next((codec for codec in PREFERRED if codec in offers.get("video", ())), None)
        sound = "opus" if "opus" in offers.get("audio", ()) else None
        if not (video or sound or "application" in offers):
            raise Refused(406, "nothing in the offer that can be sent: H.264, VP8, Opus or a data channel")
        if any(
            media.direction in ("sendonly", "inactive") for media in offer.media if media.kind in ("video", "audio")
        ):
            raise Refused(400, "a player offers recvonly or sendrecv")
        tracks = []
        # aiortc settles the codecs when it is given the offer, so tracks and preferences come first.
        for kind, codec in (("video", video), ("audio", sound)):
            if codec:
                tracks.append((send(self._broadcast, session.peer, kind, codec), codec))
        for track, _ in tracks:
            session.ends.callback(self._broadcast.leave, track)

        def connected() -> None:
            for track, codec in tracks:
                if track.channel is None:
                    self._broadcast.join(track, codec)

        session.connected = connected

        @session.peer.on("datachannel")
        def opened(channel: RTCDataChannel) -> None:
            self._poses.add(channel)
            session.ends.callback(self._poses.discard, channel)

        await offered(session.peer, text)
        return await answered(session.peer)


def send(broadcast: Broadcast, peer: RTCPeerConnection, kind: str, codec: str, adapt: bool = True) -> PacketTrack:
    """Have `peer` send a new track of this codec, which is yet to join; `adapt`: in the rung that its feedback asks
    for."""
    track = broadcast.track(kind)
    transceiver = peer.addTransceiver(track, direction="sendonly")
    capabilities = RTCRtpSender.getCapabilities(kind).codecs
    usable = (f"{kind}/{codec}", f"{kind}/rtx")
    transceiver.setCodecPreferences([c for c in capabilities if c.mimeType.lower() in usable])
    chooser = RungChooser(time.monotonic())

    def heard(feedback: Feedback) -> None:
        if kind != "video" or not adapt or track.channel is None:
            return
        before = chooser.rung
        if chooser.hear(feedback, track.channel.rate, time.monotonic()) != before:
            broadcast.join(track, codec, chooser.rung)

    share(transceiver.sender, track.ask_key, heard)
    return track
