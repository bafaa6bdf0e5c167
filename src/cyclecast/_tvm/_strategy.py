"""A search on mappings as a search strategy of MetaSchedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tvm.ir import IRModule
from tvm.ir.utils import derived_object
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms

Choose = Callable[[IRModule, int, int], Iterator[Schedule]]
"""Function from a module, a number of trials and a seed to schedules, the best first."""


@derived_object
class _Best(ms.search_strategy.PySearchStrategy):  # type: ignore[misc] # TVM is untyped
    """Proposes one schedule: the best one that the postprocessors of the space accept."""

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self.choose = choose
        self.trials = 0

    def _initialize_with_tune_context(self, context: ms.TuneContext) -> None:
        """Keep parts of the context only; the context holds the strategy, so a reference back would be a cycle."""
        space = context.space_generator
        self.module, self.seed = context.mod, int(context.rand_state)
        self.postprocessors = list(space.postprocs or ()) if space else []

    def pre_tuning(
        self,
        max_trials: int,
        num_trials_per_iter: int,
        design_spaces: list[Schedule],
        database: ms.Database,
        cost_model: ms.CostModel,
    ) -> None:
        self.trials = int(max_trials)

    def post_tuning(self) -> None:
        self.trials = 0

    def generate_measure_candidates(self) -> list[ms.MeasureCandidate] | None:
        if not self.trials:
            return None
        trials, self.trials = self.trials, 0
        for schedule in self.choose(self.module, trials, self.seed):
            if self._accepts(schedule):
                arguments = ms.arg_info.ArgInfo.from_entry_func(schedule.mod, remove_preproc=True)
                return [ms.MeasureCandidate(schedule, arguments)]
        return None

    def notify_runner_results(
        self, measure_candidates: list[ms.MeasureCandidate], results: list[ms.runner.RunnerResult]
    ) -> None:
        return

    def clone(self) -> ms.SearchStrategy:
        return _Best(self.choose)

    def _accepts(self, schedule: Schedule) -> bool:
        """Whether all postprocessors accept the schedule; those in Python raise if they do not."""
        schedule.enter_postproc()
        try:
            return all(change.apply(schedule) for change in self.postprocessors)
        except (RuntimeError, ValueError):
            return False


def strategy(choose: Choose) -> ms.SearchStrategy:
    """A MetaSchedule search strategy that proposes the first schedule of `choose` that the space accepts."""
    return _Best(choose)
