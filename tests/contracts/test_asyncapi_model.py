"""The AsyncAPI document is read by an independent model of AsyncAPI 3.0: the `asyncapi3` package.

The AsyncAPI project's own parser reads it too, in `scripts/node_checks.py`, where Node is needed.
"""

import json
import warnings
from typing import Any

import pytest
from pydantic import ValidationError

from events.registry import AGGREGATES, EVENT_TYPES
from scripts.contract_files import FOLDER

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # fields named `schema`, as the standard has it
    from asyncapi3 import AsyncAPI3

TEXT = (FOLDER / "asyncapi.json").read_text(encoding="utf-8")


def test_an_independent_model_of_asyncapi_3_accepts_the_document() -> None:
    document = AsyncAPI3.model_validate_json(TEXT)
    assert document.asyncapi == "3.0.0"
    assert document.channels is not None
    assert list(document.channels) == [*AGGREGATES, "feed_page", "feed_stream"]
    assert document.components is not None
    assert document.components.messages is not None
    assert len(document.components.messages) == len(EVENT_TYPES)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("operations", "receive_order_events", "action"), "overhear"),
        (("channels", "order", "address"), "marketplace.order.any"),
        (("channels", "order", "bindings", "nats"), {"queue": "any"}),
        (("components", "messages", "lot_listed_v1", "shape"), "round"),
        (("info", "version"), 1),
    ],
)
def test_the_model_refuses_a_broken_document(path: tuple[str, ...], value: object) -> None:
    document = json.loads(TEXT)
    target: dict[str, Any] = document
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    with pytest.raises(ValidationError):
        AsyncAPI3.model_validate(document)
