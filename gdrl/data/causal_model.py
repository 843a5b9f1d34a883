"""Binary structural causal models small enough to enumerate: sampling and exact truths.

With k variables there are 2^k states (4096 for k = 12), so every population quantity is a sum over
all of them: no Monte Carlo error stands between an estimate and what it is compared with.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Int8

from gdrl.errors import DataError


@dataclass(frozen=True)
class Mechanism:
    """How one attribute comes about: P(attribute = 1 | parents).

    ``table`` holds one probability per assignment of the parents in counting order, the last parent
    fastest: with one parent ``(P(. | parent off), P(. | parent on))``, with none ``(P(.),)``.
    """

    attribute: str
    table: tuple[float, ...]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class CausalModel:
    """Mechanisms in causal order: every parent stands before its children.

    Raises:
        DataError: a name occurs twice, a parent comes after its child, or a table has another
            length than 2^parents or an entry outside [0, 1].
    """

    mechanisms: tuple[Mechanism, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for mechanism in self.mechanisms:
            name, table = mechanism.attribute, mechanism.table
            if name in seen:
                raise DataError(f"causal model: {name!r} is declared twice")
            if missing := set(mechanism.parents) - seen:
                raise DataError(
                    f"causal model: {name!r} needs {sorted(missing)} declared before it"
                )
            if len(table) != 2 ** len(mechanism.parents) or not all(0 <= p <= 1 for p in table):
                raise DataError(
                    f"causal model: {name!r} needs {2 ** len(mechanism.parents)} probabilities"
                )
            seen.add(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes in causal order, which is also the order of every matrix below."""
        return tuple(mechanism.attribute for mechanism in self.mechanisms)

    def sample(
        self, num: int, seed: int, *, independent: bool = False
    ) -> Int8[np.ndarray, "num k"]:
        """Draw ``num`` rows of 0/1 factors; the same seed gives the same rows.

        ``independent`` draws every attribute from its own prevalence and forgets the parents: the
        world with its graph removed.
        """
        uniform = np.random.default_rng(seed).random((num, len(self.mechanisms)))
        if independent:
            return (uniform < prevalence(self)).astype(np.int8)
        factors = np.zeros(uniform.shape, dtype=np.int8)
        for index in range(len(self.mechanisms)):
            factors[:, index] = uniform[:, index] < self._conditional(index, factors)
        return factors

    def _conditional(
        self, index: int, factors: Int8[np.ndarray, "rows k"]
    ) -> Float[np.ndarray, " rows"]:
        """P(attribute ``index`` = 1 | its parents' values in each row)."""
        mechanism = self.mechanisms[index]
        names = self.names
        assignment = np.zeros(len(factors), dtype=np.int64)
        for parent in mechanism.parents:
            assignment = 2 * assignment + factors[:, names.index(parent)]
        return np.asarray(mechanism.table, dtype=np.float64)[assignment]

    def joint(
        self, do: tuple[int, int] | None = None
    ) -> tuple[Int8[np.ndarray, "states k"], Float[np.ndarray, " states"]]:
        """All 2^k states and their probabilities.

        ``do = (index, value)`` cuts the mechanism of ``index`` and fixes it: the truncated
        factorisation (Pearl 2009, Causality, section 3.2.3).
        """
        k = len(self.mechanisms)
        states = np.array(list(product((0, 1), repeat=k)), dtype=np.int8)
        probability = np.ones(len(states))
        for index in range(k):
            on = states[:, index] == 1
            if do is not None and index == do[0]:
                probability *= on == bool(do[1])
            else:
                conditional = self._conditional(index, states)
                probability *= np.where(on, conditional, 1 - conditional)
        return states, probability


def prevalence(model: CausalModel) -> Float[np.ndarray, " k"]:
    """P(attribute = 1), exact."""
    states, probability = model.joint()
    return np.asarray(probability @ states)


def population_association(model: CausalModel) -> Float[np.ndarray, "k k"]:
    """adjacency[i, j] = P(j | i) - P(j | not i), exact; the diagonal is 0.

    Associations carried by a third attribute (a chain or a common cause) are part of it.
    """
    states, probability = model.joint()
    on = probability @ states
    both = (states * probability[:, None]).T @ states.astype(np.float64)
    adjacency = both / on[:, None] - (on[None, :] - both) / (1 - on)[:, None]
    return _tidy(adjacency)


def interventional(model: CausalModel) -> Float[np.ndarray, "k k"]:
    """effect[i, j] = P(j | do(i = 1)) - P(j | do(i = 0)), exact; the diagonal is 0."""
    k = len(model.mechanisms)
    effect = np.zeros((k, k))
    for i in range(k):
        for value, sign in ((1, 1.0), (0, -1.0)):
            states, probability = model.joint(do=(i, value))
            effect[i] += sign * (probability @ states)
    return _tidy(effect)


def reverse(model: CausalModel) -> CausalModel:
    """The same graph with every single-parent effect of opposite sign (tables read backwards)."""
    return CausalModel(
        tuple(
            Mechanism(m.attribute, m.table[::-1] if m.parents else m.table, m.parents)
            for m in model.mechanisms
        )
    )


def _tidy(matrix: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Zero diagonal, and exact zeros where only rounding is left."""
    tidy = np.round(matrix, 12) + 0.0
    np.fill_diagonal(tidy, 0.0)
    return np.asarray(tidy)
