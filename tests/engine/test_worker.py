"""Processes beside the stage, with real ones."""

import asyncio
import os
import time
from multiprocessing.connection import Connection

import pytest

from engine.worker import Failed, GivenUp, Worker, serve
from xdancer.errors import UserError


def echo(pipe: Connection, more: int) -> None:
    """Adds to what it is told; a word ends it."""

    def work() -> None:
        while True:
            told = pipe.recv()
            if told == "mistake":
                raise UserError("no such thing")
            if told == "behind":
                raise GivenUp("too slow")
            if told == "sleep":
                time.sleep(60)
            pipe.send(told + more)

    serve(pipe, work)


class Heard:
    """A worker and what was heard of it."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[object] = asyncio.Queue()
        self.lost: asyncio.Queue[Failed] = asyncio.Queue()
        self.worker = Worker("echo", echo, self.messages.put_nowait, self.lost.put_nowait)


async def soon(queue: asyncio.Queue) -> object:
    return await asyncio.wait_for(queue.get(), 30)


async def test_messages_go_both_ways_until_it_is_told_to_end() -> None:
    heard = Heard()
    await heard.worker.start(10)
    assert heard.worker.pid and heard.worker.send(1) and heard.worker.send(2)
    assert [await soon(heard.messages), await soon(heard.messages)] == [11, 12]
    heard.worker.end()
    await heard.worker.join()
    assert not heard.worker.send(3) and heard.lost.empty()
    assert gone(heard.worker.pid)


@pytest.mark.parametrize(
    ("word", "failed"),
    [("mistake", Failed("no such thing", mistake=True)), ("behind", Failed("too slow", mistake=False))],
)
async def test_why_it_ended_is_told(word: str, failed: Failed) -> None:
    heard = Heard()
    await heard.worker.start(0)
    heard.worker.send(word)
    assert await soon(heard.lost) == failed


async def test_one_that_is_killed_is_missed_and_one_that_hangs_can_be_ended() -> None:
    heard = Heard()
    await heard.worker.start(0)
    assert heard.worker.pid
    os.kill(heard.worker.pid, 9)
    assert await soon(heard.lost) == Failed("its process ended", mistake=False)
    hanging = Heard()
    await hanging.worker.start(0)
    hanging.worker.send("sleep")
    while hanging.worker.room:  # nobody reads: in the end the pipe is full, and nobody waits for it
        hanging.worker.send("x" * 4096)
    assert not hanging.worker.send("more")
    hanging.worker.end()
    await hanging.worker.join()
    assert gone(hanging.worker.pid) and hanging.lost.empty()


async def test_one_that_is_ended_before_it_is_made_does_not_stay() -> None:
    heard = Heard()
    starting = asyncio.create_task(heard.worker.start(0))
    await asyncio.sleep(0)
    heard.worker.end()
    await starting
    await heard.worker.join()
    assert gone(heard.worker.pid)


def gone(pid: int | None) -> bool:
    assert pid
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
