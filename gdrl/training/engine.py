"""One DeepSpeed engine for CPU and GPU, with and without Ray.

The configuration is built here from recipe and scale; there is no second file to drift. Precision
is ``torch.autocast`` around float32 weights, on both devices: DeepSpeed's own bf16 mode keeps a
second copy of the weights, which a model of 2 MB need not save, and ran no faster.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdrl.errors import Diverged, TrainingFailed
from gdrl.training.adam import restore_moments, whole_moments
from gdrl.training.checkpoint import TrainingState, read_state
from gdrl.training.job import TrainingJob
from gdrl.training.memory import keep_freed_memory
from gdrl.training.ranks import mean_over_ranks

_SHM_OP = "deepspeed_shm_comm"


class Engine:
    """An objective (a module from batch to named losses, ``loss`` among them) and its Adam.

    With ``job.resume`` it goes on from there, whatever wrote it: any number of workers, any ZeRO
    stage.

    Raises:
        TrainingFailed: ``job.resume`` holds no state, a damaged one, or another module's.
    """

    def __init__(self, objective: nn.Module, job: TrainingJob) -> None:
        self._job = job
        self._deepspeed = _deepspeed(job)
        torch.set_num_threads(job.scale.threads_per_worker)
        keep_freed_memory()
        state = _load_weights(objective, job)  # before ZeRO takes the weights apart
        self._engine, *_ = self._deepspeed.initialize(
            model=objective,
            optimizer=torch.optim.Adam(objective.parameters()),
            config=deepspeed_config(job),
        )
        self.device = torch.device(self._engine.device)
        if job.recipe.precision == "bf16":
            # Entered within DeepSpeed's forward, which on a GPU switches off what surrounds it.
            half = torch.autocast(self.device.type, torch.bfloat16)
            objective.forward = half(objective.forward)
        self.steps_done = 0
        if state is not None:
            restore_moments(self._engine, self._deepspeed, state.moments)
            self.steps_done = state.step

    def step(self, parts: Iterable[Any], learning_rate: float) -> dict[str, float]:
        """One optimiser step on this rank's parts of a batch: the losses of the whole batch.

        They are means over parts and ranks, so all ranks return the same, and fail together.

        Raises:
            Diverged: the loss is not finite; the weights are still those before the step.
        """
        found = []
        for number, part in enumerate(parts, 1):
            terms: dict[str, Tensor] = self._engine(part)
            self._engine.backward(terms["loss"])
            found.append({name: term.detach().float() for name, term in terms.items()})
            if number < self._job.scale.accumulation_steps:
                self._engine.step()  # counts the part; nothing moves before the last one
        losses = self._means(found)
        _check_finite(losses)
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        self.steps_done += 1
        return losses

    def _means(self, found: list[dict[str, Tensor]]) -> dict[str, float]:
        values = torch.stack([torch.stack(list(terms.values())) for terms in found]).mean(dim=0)
        return dict(zip(found[0], mean_over_ranks(values).tolist(), strict=True))

    def weights(self) -> dict[str, Tensor]:
        """The objective's whole state on the CPU; under ZeRO-3 every rank must ask."""
        module: nn.Module = self._engine.module
        if self._job.scale.zero_stage < 3:
            return _cpu_state(module)
        with self._deepspeed.zero.GatheredParameters(list(module.parameters())):
            return _cpu_state(module)

    def state(self) -> TrainingState:
        """All that the next step depends on, on the CPU; every rank must ask.

        Raises:
            Diverged: it is not finite.
        """
        moments = whole_moments(self._engine, self._deepspeed)
        state = TrainingState(self.steps_done, self.weights(), moments)
        state.check_finite()
        return state


def deepspeed_config(job: TrainingJob) -> dict[str, Any]:
    """DeepSpeed's settings: all of them follow from recipe and scale, none is free."""
    recipe, scale = job.recipe, job.scale
    num_parts = job.world_size * scale.accumulation_steps
    return {
        "train_batch_size": recipe.batch_size,
        "train_micro_batch_size_per_gpu": recipe.batch_size // num_parts,
        "gradient_accumulation_steps": scale.accumulation_steps,
        "gradient_clipping": recipe.gradient_clipping,
        "zero_optimization": {
            "stage": scale.zero_stage,
            "overlap_comm": scale.use_gpu,
            # ZeRO-3 would replace torch's linear, for good and in the whole process, by one that
            # autocast on the CPU does not reach.
            "memory_efficient_linear": False,
        },
        # torch.optim.Adam: DeepSpeed's own is compiled at start-up.
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
    }


def _load_weights(objective: nn.Module, job: TrainingJob) -> TrainingState | None:
    if job.resume is None:
        return None
    state = read_state(job.resume)
    try:
        objective.load_state_dict(state.weights)
    except RuntimeError as error:
        raise TrainingFailed(
            f"{job.resume} holds the state of another module, as another version of gdrl may have "
            f"written it; delete it to start anew ({error})"
        ) from error
    return state


def _deepspeed(job: TrainingJob) -> Any:
    """Import DeepSpeed for this job's device; a plain process gets the group it insists on."""
    os.environ.setdefault("LOCAL_RANK", "0")
    if not job.scale.use_gpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    if not job.scale.use_gpu:
        # Otherwise the first engine of a machine compiles this op: 60 s of CPU. Only all-reduce at
        # inference uses it.
        deepspeed.ops.__compatible_ops__[_SHM_OP] = False
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            "nccl" if job.scale.use_gpu else "gloo",
            store=torch.distributed.HashStore(),  # type: ignore[attr-defined]
            rank=job.rank,
            world_size=job.world_size,
        )
    return deepspeed


def _check_finite(losses: Mapping[str, float]) -> None:
    if not torch.tensor(list(losses.values())).isfinite().all():
        listed = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        raise Diverged(f"the loss is not finite ({listed})")


def _cpu_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
