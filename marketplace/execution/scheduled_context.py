"""The context of a worker's command. Its id derives from its cause, so that it takes effect once, whoever runs it."""

from marketplace.core.ids import derive_id
from marketplace.execution.handler import Handler
from marketplace.execution.unit_of_work import Context


def build_context(handler: Handler, worker: str, cause: str, step: str) -> Context:
    """Return the context of a worker's command, which acts for the platform, now.

    Args:
        handler: Gives the time.
        worker: The worker's name, which events state as their actor, such as `scheduler`.
        cause: Id of what the command is for, such as an auction.
        step: What is done, named alike in every attempt. A second command for this cause and step has no effect.
    """
    command_id = derive_id("cmd", cause, step)
    return Context(
        command_id=command_id,
        fingerprint=f"{worker}/{step}",
        actor=f"worker:{worker}",
        party_id=None,
        at=handler.clock.now(),
        correlation_id=command_id,
        recorded=False,
    )
