"""Whether storage, Ray, MLLM and GPUs would do what a recipe asks of them; a remedy where not.

Each check runs in a process of its own: what hangs is ended, what is not installed is missed there
alone, and the environment that Ray wants is nobody else's.
"""

import multiprocessing
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from gdrl.artifacts import Storage, Store, open_store
from gdrl.config import RunConfig
from gdrl.errors import ConfigError, EndpointError, GdrlError, StorageError

TIMEOUT_SECONDS = 180.0
"""Of a whole check: to load torch and a model took 20 s, and 110 s on two cores shared by six."""
ANSWER_SECONDS = 60.0
"""Of one question to an endpoint: a server that has just started compiles its kernels first."""


SCRATCH = ".doctor"
CONTENT = b"written by gdrl doctor, and deleted by it"


@dataclass(frozen=True)
class Finding:
    """What one check found: what works, or what to do."""

    check: str
    ok: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAILED':<7} {self.check:<8} {self.text}"


def examine(config: RunConfig, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Finding]:
    """One finding a check, as each ends."""
    for name, check in CHECKS.items():
        try:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                text = pool.apply_async(check, (config,)).get(timeout_seconds)
            yield Finding(name, ok=True, text=text)
        except GdrlError as error:
            yield Finding(name, ok=False, text=str(error))
        except ImportError as error:
            yield Finding(name, ok=False, text=f"{error}; pip install gdrl")
        except multiprocessing.TimeoutError:
            remedy = f"no answer within {timeout_seconds:g} s; is it up, and reachable from here?"
            yield Finding(name, ok=False, text=remedy)


def check_storage(config: RunConfig) -> str:
    """All that commits and readers ask of a storage, with one scratch object that is removed.

    Raises:
        StorageError: it does not do one of them.
    """
    store = open_store(Storage.of(config))
    probe = f"{SCRATCH}/{secrets.token_hex(8)}"
    store.create(probe, CONTENT)
    try:
        _use(store, probe)
    finally:
        store.delete([probe])
    if store.read(probe) is not None:
        raise StorageError(f"{store.location('')}: an object that was deleted is still there")
    return f"{store.location('')}: write, refuse a second write, read, list, delete"


def _use(store: Store, probe: str) -> None:
    listed = [stored.key for stored in store.objects(SCRATCH)]
    if store.read(probe) != CONTENT or probe not in listed:
        raise StorageError(
            f"{store.location('')}: an object just written is not read or listed; use a server "
            "with read-after-write consistency"
        )
    try:
        store.create(probe, CONTENT)
    except FileExistsError:
        return
    raise StorageError(
        f"{store.location('')}: a second write of the same object was not refused, so two jobs "
        "could both commit; use a server that knows If-None-Match"
    )


def check_ray(config: RunConfig) -> str:
    """The cluster that a job would join.

    Raises:
        ConfigError: it cannot be joined.
    """
    from gdrl.distributed.cluster import describe_cluster

    return describe_cluster(config.scale.cluster)


def check_mllm(config: RunConfig) -> str:
    """One question about a grey picture.

    Raises:
        GdrlError: the model is not there, or does not answer.
    """
    from gdrl.mllm.open import open_engine
    from gdrl.mllm.questions import probe_query

    recipe = config.recipe.mllm
    where = f"at {recipe.endpoint}" if recipe.endpoint else "in this process"
    engine = open_engine(recipe, timeout_seconds=ANSWER_SECONDS)
    (answer,) = engine.answer([probe_query()])
    if answer.status != "ok":
        raise EndpointError(
            f"{recipe.model} {where} gave no answer ({answer.status}: {answer.reason}); is "
            "recipe.mllm.model the name that it serves, and a model that takes images?"
        )
    return f"{engine.model} {where} answered (revision {engine.revision or 'unknown'})"


def check_gpu(config: RunConfig) -> str:
    """The torch build and its devices, on this machine.

    Raises:
        ConfigError: a private cluster on this machine could not give what ``scale`` asks for.
    """
    from gdrl.distributed.session import cluster_address
    from gdrl.training.devices import cuda_build, gpus

    scale = config.scale
    training = (scale.vae, scale.encoders, scale.unmixing, scale.disgraph, scale.contrastive)
    wanted = any(section.use_gpu for section in training) or scale.mllm.gpus_per_replica > 0
    found = f"torch {version('torch')}, built for {cuda_build() or 'CPUs'}; GPUs: "
    if wanted and not gpus() and not cluster_address(scale.cluster):
        raise ConfigError(
            f"{found}none, but scale asks for one; install a CUDA build of torch and the driver, "
            "name a cluster that has GPUs (scale.cluster.address), or ask for none"
        )
    return found + (", ".join(gpus()) or "none")


CHECKS: dict[str, Callable[[RunConfig], str]] = {
    "storage": check_storage,
    "ray": check_ray,
    "mllm": check_mllm,
    "gpu": check_gpu,
}
