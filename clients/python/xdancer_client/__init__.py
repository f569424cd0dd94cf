"""Follows a running xdancer show over MQTT, frame by frame; speaks only the protocol of docs/asyncapi.yaml."""

from xdancer_client.dance import Dance
from xdancer_client.decoder import Decoder
from xdancer_client.errors import DanceError
from xdancer_client.frame import Beat, Frame

__all__ = ["Beat", "Dance", "DanceError", "Decoder", "Frame"]
