"""A map over processes that keeps the order and holds a few results, however many there are."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_order(function: Callable[[A], B], items: Iterable[A], num_processes: int) -> Iterator[B]:
    """``map(function, items)`` by ``num_processes``; at most two results a process wait their turn.

    ``Executor.map`` would submit everything at once and keep every result that the reader has not
    reached. With more than one process, ``function`` and items must pickle and the calling script
    must be importable (``if __name__ == "__main__":``).
    """
    if num_processes == 1:
        yield from map(function, items)
        return
    # spawn: a forked child of a process that runs threads (Ray, torch) can deadlock.
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[B]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * num_processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
