"""One DeepSpeed engine for CPU and GPU, with and without Ray.

The configuration is built here from recipe and scale; there is no second file to drift. Precision
is ``torch.autocast`` around float32 weights, on both devices: DeepSpeed's own bf16 mode keeps a
second copy of the weights, which a model of 2 MB need not save, and ran no faster.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gdrl.config import TrainScale
from gdrl.errors import TrainingFailed
from gdrl.training.job import TrainingJob

GRADIENT_CLIPPING = 1_000.0
STATE = "state.json"
_SHM_OP = "deepspeed_shm_comm"


class Engine:
    """An objective (a module from batch to named losses, ``loss`` among them) and its Adam."""

    def __init__(
        self,
        objective: nn.Module,
        job: TrainingJob,
        batch_size: int,
        precision: Literal["fp32", "bf16"],
    ) -> None:
        deepspeed = _deepspeed(job)
        torch.set_num_threads(job.scale.threads_per_worker)
        self._job = job
        self._bf16 = precision == "bf16"
        self._deepspeed = deepspeed
        self._engine, *_ = deepspeed.initialize(
            model=objective,
            optimizer=torch.optim.Adam(objective.parameters()),
            config=deepspeed_config(job.scale, batch_size // job.world_size),
        )
        self.device = torch.device(self._engine.device)

    def step(self, batch: Any, learning_rate: float) -> dict[str, float]:
        """One optimiser step on this rank's share of a batch; the losses, as floats.

        Raises:
            TrainingFailed: the loss is not finite; the weights are still those before the step.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
            terms: dict[str, Tensor] = self._engine(batch)
        losses = {name: term.item() for name, term in terms.items()}
        _check_finite(losses)
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.backward(terms["loss"])
        self._engine.step()
        return losses

    def weights(self) -> dict[str, Tensor]:
        """The objective's whole state on the CPU; under ZeRO-3 every rank must ask."""
        module: nn.Module = self._engine.module
        if self._job.scale.zero_stage < 3:
            return _cpu_state(module)
        with self._deepspeed.zero.GatheredParameters(list(module.parameters())):
            return _cpu_state(module)

    def save(self, folder: Path, state: Mapping[str, object]) -> None:
        """Write this rank's part of a checkpoint, and ``state.json`` on rank 0."""
        self._engine.save_checkpoint(str(folder))
        if self._job.rank == 0:
            record = {**state, "world_size": self._job.world_size}
            (folder / STATE).write_text(json.dumps(record))

    def load(self, folder: Path) -> dict[str, Any]:
        """Restore weights and optimiser; returns what was saved as ``state``.

        Raises:
            TrainingFailed: there is nothing to load, or another number of workers wrote it.
        """
        if not (folder / STATE).is_file():
            raise TrainingFailed(
                f"{folder} holds no {STATE}: not a checkpoint; delete it to start anew"
            )
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        if state["world_size"] != self._job.world_size:
            raise TrainingFailed(
                f"{folder} was written by {state['world_size']} workers and cannot be read by "
                f"{self._job.world_size}; set num_workers back, or delete it to start anew"
            )
        # Only a warning and (None, …) where "latest" is missing.
        path, _ = self._engine.load_checkpoint(str(folder))
        if path is None:
            raise TrainingFailed(
                f"DeepSpeed found nothing to load in {folder}; delete it to start anew"
            )
        return state


def deepspeed_config(scale: TrainScale, micro_batch_size: int) -> dict[str, Any]:
    """DeepSpeed's settings for this recipe and scale."""
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": GRADIENT_CLIPPING,
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
        raise TrainingFailed(f"the loss is not finite ({listed})")


def _cpu_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
