"""The one loop of all work: tasks become parts, those that are there are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from memaudit.attacks.base import Bench, Pass, Shard
from memaudit.audit.pool import Candidates
from memaudit.progress import Progress
from memaudit.run.parts import Part, Parts, Work


@dataclass(frozen=True)
class Task:
    """A numbered piece of some work: images by id, and what is done with each.

    It is plain data, and tells of no image on which side it stands, so any worker may do it.
    """

    work: Work
    number: int
    ids: tuple[str, ...]
    passes: tuple[Pass, ...] = ()


Do = Callable[[Task], Part]
# Does tasks, in any order. One whose workers open a bench of their own (`open_bench`) may do the
# work that the model under audit is asked for; of "power" and "generated" the bench is another, and
# they are done by calling `do`.
Engine = Callable[[Do, Sequence[Task]], Iterator[tuple[Task, Part]]]


def sequential(do: Do, tasks: Sequence[Task]) -> Iterator[tuple[Task, Part]]:
    """The engine that does one task after the other in this process."""
    for task in tasks:
        yield task, do(task)


@dataclass(frozen=True)
class Crew:
    """How tasks are done: by an engine, in pieces of so many images, told to `progress`."""

    engine: Engine
    shard_size: int
    progress: Progress

    def tasks(
        self, work: Work, ids: Iterable[str], passes: tuple[Pass, ...] = ()
    ) -> tuple[Task, ...]:
        """Cut work into tasks; the cut depends on nothing but the order of the ids."""
        order, size = tuple(ids), self.shard_size
        starts = range(0, len(order), size)
        return tuple(
            Task(work, number, order[start : start + size], passes)
            for number, start in enumerate(starts)
        )

    def complete(self, parts: Parts, tasks: Sequence[Task], do: Do) -> Part:
        """Do what is not done yet, keep each part as it comes, and read all of them."""
        total = sum(len(task.ids) for task in tasks)
        whole = parts.done()
        left = [task for task in tasks if parts.name(task.number) not in whole]
        done = total - sum(len(task.ids) for task in left)
        stage = "scan" if parts.work == "scores" else parts.work
        if done:
            self.progress(stage, done, total)
        for task, part in self.engine(do, left):
            parts.write(task.number, part)
            done += len(task.ids)
            self.progress(stage, done, total)
        return parts.read_all(len(tasks))


def attack(bench: Bench, candidates: Candidates, task: Task) -> Part:
    """Run the passes of a task over its images: one row an example, pass, input, level and draw."""
    read = candidates.read(task.ids)
    if not read.examples:
        return Part(failed=read.failed)
    shard = Shard.of(bench, read.examples)
    tables = [
        how.attack.run(bench, shard, how).assign(attack=how.attack.name, phase=how.phase)
        for how in task.passes
    ]
    return Part(pd.concat(tables, ignore_index=True), read.failed)
