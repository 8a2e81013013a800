"""A process of its own for an endpoint, so that its CPU time is not that of what is measured."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

Told = TypeVar("Told")


class Endpoint(Generic[Told]):
    """A server in another process."""

    def __init__(self, talk: Connection) -> None:
        self._talk = talk
        self.url: str = talk.recv()

    def tell(self) -> Told:
        """Ask what came since the last time."""
        self._talk.send(True)
        told: Told = self._talk.recv()
        return told


@contextmanager
def elsewhere(serve: Callable[[Connection], None]) -> Iterator[Endpoint[Told]]:
    """Run *serve* in another process. It says where it is, then what it is asked for, and ends with the talk."""
    with talk_to(serve) as talk:
        yield Endpoint(talk)


@contextmanager
def talk_to(serve: Callable[[Connection], None]) -> Iterator[Connection]:
    """Run *serve* in another process, which ends with the talk."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()
