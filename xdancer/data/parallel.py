"""Many independent jobs on all cores."""

from collections.abc import Callable, Iterable
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

Job = tuple[Callable[..., None], *tuple[Any, ...]]  # a function and its arguments


def in_parallel(jobs: Iterable[Job], total: int, desc: str, unit: str) -> None:
    """Do the jobs, each a function of a module and its arguments, in any order, with a progress bar.

    An error in one ends all and is raised here.
    """
    done = Parallel(n_jobs=-1, return_as="generator_unordered")(delayed(call)(*arguments) for call, *arguments in jobs)
    for _ in tqdm(done, total=total, desc=desc, unit=unit, leave=False):
        pass
