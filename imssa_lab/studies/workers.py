"""Many independent jobs on one core, on several, or on a cluster, with the same results.

Dask carries them where there is more than one worker. Every worker runs the numerical libraries with one thread:
two workers would otherwise fight over the cores, and sums would depend on how many threads share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from imssa_lab.contract.errors import ConfigError

Job = TypeVar("Job")
Result = TypeVar("Result")
Shared = TypeVar("Shared")
_QUIET = {
    # the C library then keeps freed memory: without, workers request every larger array from the system again
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.worker.profile.enabled": False,  # looks at the worker's stack 100 times a second
    "distributed.admin.tick.interval": "1s",  # wakes every process 50 times a second
}
"""What Dask does beside the jobs by default takes a sixth of two cores that are all there is."""
_AHEAD = 4
"""Jobs a worker has waiting: enough to keep it busy, few enough to stop soon."""


class Workers(Protocol):
    """Something that runs jobs; a context manager."""

    def run(
        self, work: Callable[[Shared, Job], Result], shared: Shared, jobs: Sequence[tuple[int, Job]]
    ) -> Iterator[tuple[int, Result]]:
        """`work(shared, job)` of every numbered job, as they end, with their numbers."""


class OneProcess(AbstractContextManager["OneProcess"]):
    """All jobs here, one after the other."""

    def run(
        self, work: Callable[[Shared, Job], Result], shared: Shared, jobs: Sequence[tuple[int, Job]]
    ) -> Iterator[tuple[int, Result]]:
        """See `Workers`."""
        for index, job in jobs:
            yield index, _alone(work, shared, job)

    def __exit__(self, *_: object) -> None:
        """Nothing to let go of."""


class DaskWorkers(AbstractContextManager["DaskWorkers"]):
    """Jobs on Dask's workers.

    Args:
        count: worker processes to start on this machine; or
        scheduler: address of a scheduler that runs already, with its workers, such as tcp://login1:8786.

    Raises:
        ConfigError: Dask is not installed, or no scheduler answers.
    """

    def __init__(self, count: int | None = None, scheduler: str | None = None) -> None:
        if find_spec("distributed") is None:
            raise ConfigError("more than one worker asked, but Dask is missing: pip install 'imssa-lab[scale]'")
        import dask
        from distributed import Client, LocalCluster

        self._cluster: Any = None
        if scheduler is None:
            with dask.config.set(_QUIET):
                self._cluster = LocalCluster(
                    n_workers=count, threads_per_worker=1, dashboard_address=":0", memory_limit=None
                )
        try:
            self._client: Any = Client(self._cluster or scheduler, timeout="20s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {scheduler}: {error}; start one with `dask scheduler`, and workers "
                "with `dask worker ADDRESS --nthreads 1 --no-nanny`"
            ) from error

    def run(
        self, work: Callable[[Shared, Job], Result], shared: Shared, jobs: Sequence[tuple[int, Job]]
    ) -> Iterator[tuple[int, Result]]:
        """See `Workers`; a job whose worker dies is given to another one, an error in a job ends the run."""
        from distributed import as_completed

        self._client.wait_for_workers(1, timeout=600)
        carried = self._client.scatter([shared], broadcast=True, hash=False)[0]
        waiting = iter(jobs)
        numbers: dict[Any, int] = {}

        def submit() -> list[Any]:
            for index, job in waiting:
                future = self._client.submit(_alone, work, carried, job, pure=False)
                numbers[future] = index
                return [future]
            return []

        ahead = _AHEAD * max(1, len(self._client.nthreads()))
        first = [future for _ in range(ahead) for future in submit()]
        ended = as_completed(first, loop=self._client.loop)
        for future in ended:
            for following in submit():
                ended.add(following)
            yield numbers.pop(future), future.result()

    def __exit__(self, *_: object) -> None:
        """Let workers go that were started here; those of a scheduler stay."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def workers(count: int, scheduler: str | None = None) -> OneProcess | DaskWorkers:
    """This process for one worker, `count` processes for more, or the cluster behind `scheduler`.

    Raises:
        ConfigError: as `DaskWorkers`.
    """
    return OneProcess() if count == 1 and scheduler is None else DaskWorkers(count, scheduler)


def _alone(work: Callable[[Shared, Job], Result], shared: Shared, job: Job) -> Result:
    with threadpool_limits(1):
        return work(shared, job)
