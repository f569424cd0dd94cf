"""Samples on their way from the thread that gets them to the show that takes them."""

import threading
from collections import deque

import numpy as np


class Fifo:
    """Bounded, for one thread that puts and one that takes. `fill` and `dropped` are in samples."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.fill = 0
        self.dropped = 0
        self._blocks: deque[np.ndarray] = deque()
        self._room = threading.Condition()

    def put(self, block: np.ndarray) -> None:
        """Add samples (n, 2); where there is no room the oldest go."""
        with self._room:
            self._add(block)
            over = self.fill - self.capacity
            if over > 0:
                self._remove(over)
                self.dropped += over

    def put_waiting(self, block: np.ndarray, stop: threading.Event) -> bool:
        """Add samples once there is room; False where `stop` came first."""
        with self._room:
            while self.fill >= self.capacity and not stop.is_set():
                self._room.wait(0.5)
            if stop.is_set():
                return False
            self._add(block)
            return True

    def take(self, count: int) -> np.ndarray:
        """The oldest samples, at most `count`: float32 (n, 2)."""
        with self._room:
            parts = self._remove(min(count, self.fill))
            self._room.notify_all()
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)

    def clear(self) -> None:
        """Forget what is in it."""
        with self._room:
            self._blocks.clear()
            self.fill = 0
            self._room.notify_all()

    def _add(self, block: np.ndarray) -> None:
        if len(block):
            self._blocks.append(block)
            self.fill += len(block)

    def _remove(self, count: int) -> list[np.ndarray]:
        parts = []
        while count:
            block = self._blocks.popleft()
            if len(block) > count:
                self._blocks.appendleft(block[count:])
                block = block[:count]
            parts.append(block)
            count -= len(block)
            self.fill -= len(block)
        return parts
