"""The shape of every aggregate: a pure decision and a pure fold.

The pattern is Jérémie Chassaing's functional event sourcing decider
(https://thinkbeforecoding.com/post/2021/12/17/functional-event-sourcing-decider).

Invariants:
    1. `decide` and `evolve` are pure: time, ids and seeds come in the command.
    2. `decide` raises `Refusal` and nothing else.
    3. `decide` of a command that already took effect returns no events.
    4. `evolve` never refuses: what is in the log has happened.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args

from marketplace.core.errors import Refusal

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decider(Generic[C, E, S]):
    """One aggregate's behaviour.

    Attributes:
        aggregate: The noun, the same in subjects, tables, URLs and docs, for example ``order``.
        prefix: The id prefix, for example ``ord``.
        initial: The state before any event.
        decide: From a command and a state to new events.
        evolve: From a state and one event to the next state.
    """

    aggregate: str
    prefix: str
    initial: S
    decide: Callable[[C, S], Sequence[E]]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        """Return the state after `events`, from `state` or from the beginning."""
        current = self.initial if state is None else state
        for event in events:
            current = self.evolve(current, event)
        return current


def decide_by_type(
    commands: Any,
    begin: Callable[[Any, Any], Sequence[E]],
    rules: Mapping[type, Callable[[Any, Any], Sequence[E]]],
    refuse: Callable[[Any], Refusal],
) -> Callable[[Any, Any], Sequence[E]]:
    """Return the `decide` of an aggregate that applies one rule to each type of command.

    Args:
        commands: The union of the types.
        begin: The rule of the one type that is not among `rules`, whose commands begin the aggregate.
        rules: The rules of the other types. They are applied to an aggregate that has begun, whose state is not None.
        refuse: Returns the refusal of such a command if the aggregate has not begun.
    """
    assert len(set(get_args(commands)) - set(rules)) == 1, "every type of command has its rule"

    def decide(command: Any, state: Any) -> Sequence[E]:
        rule = rules.get(type(command), begin)
        if state is None and rule is not begin:
            raise refuse(command)
        return rule(command, state)

    decide.__module__ = begin.__module__  # the aggregate's, which its row in the README names
    return decide
