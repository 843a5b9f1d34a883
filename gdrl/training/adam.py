"""Adam's moments, whole and by parameter, whatever ZeRO has made of them.

ZeRO flattens parameters, splits them over the ranks and keeps one state for many; DeepSpeed's
functions put one parameter's state together again, on every rank. ``engine`` is DeepSpeed's; the
module is handed in, for ``engine.py`` alone imports it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gdrl.training.checkpoint import MOMENTS, ByName, common_step

_AVERAGES = MOMENTS[1:]


def whole_moments(engine: Any, deepspeed: Any) -> dict[str, ByName]:
    """Kind to parameter to tensor, on the CPU; every rank must ask."""
    whole, adam = deepspeed.utils.safe_get_full_optimizer_state, _adam(engine)
    found: dict[str, ByName] = {kind: {} for kind in MOMENTS}
    shared: dict[str, Any] | None = None
    if engine.zero_optimization_stage() > 0:
        shared = next(iter(adam.state.values()), {})
    for name, param in _trained(engine.module):
        state = adam.state[param] if shared is None else shared
        if not state:
            continue
        for kind in MOMENTS:
            split = shared is not None and kind != "step"
            value = whole(param, kind) if split else state[kind]
            found[kind][name] = value.detach().cpu().clone()
    return found


def restore_moments(engine: Any, deepspeed: Any, moments: dict[str, ByName]) -> None:
    """Give a new engine the moments of another; parameters without any keep none."""
    if engine.zero_optimization_stage() == 0:
        for name, param in _trained(engine.module):
            if name in moments["step"]:
                state = {kind: moments[kind][name].to(param.device) for kind in MOMENTS}
                _adam(engine).state[param] = state | {"step": moments["step"][name].clone()}
    elif moments["step"]:
        _restore_split(engine, deepspeed.utils, moments)


def _restore_split(engine: Any, utils: Any, moments: dict[str, ByName]) -> None:
    zero, in_shards = engine.optimizer, engine.zero_optimization_stage() == 3
    flat = zero.fp32_partitioned_groups_flat if in_shards else zero.single_partition_of_fp32_groups
    for partition in flat:
        averages = {kind: torch.zeros_like(partition) for kind in _AVERAGES}
        zero.optimizer.state[partition] = {"step": common_step(moments), **averages}
    if not in_shards:
        # Ties each parameter to its place in the states; otherwise the first step does.
        zero._lazy_init_hp_params_optimizer_state()  # noqa: SLF001
    for name, param in _trained(engine.module):
        for kind in _AVERAGES:
            value = moments[kind].get(name)
            if value is not None and in_shards:
                utils.safe_set_local_optimizer_state(param, _shard(param, value), kind)
            elif value is not None:
                utils.safe_set_full_optimizer_state(param, value.to(param.device), kind)


def _shard(param: Any, value: Tensor) -> Tensor:
    """This rank's piece; the last one is padded."""
    size, flat = param.ds_tensor.numel(), value.flatten()
    start = torch.distributed.get_rank() * size
    piece = flat[start : start + size]
    return nn.functional.pad(piece, (0, size - len(piece)))


def _adam(engine: Any) -> Any:
    return engine.optimizer if engine.zero_optimization_stage() == 0 else engine.optimizer.optimizer


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, param) for name, param in module.named_parameters() if param.requires_grad)
