"""The show over MQTT: tokens, pose, beat, meta, params and status, as docs/asyncapi.yaml has them."""

from engine.mqtt.outlet import MqttOutlet
from engine.mqtt.settings import MqttSettings

__all__ = ["MqttOutlet", "MqttSettings"]
