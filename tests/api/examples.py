"""Examples of request bodies, recorded from the story of endpoints: the shortest that each operation accepts."""

import json
import re

from marketplace.api.http.examples import DAY, map_texts, move_day

ID = re.compile(r"\b([a-z]{3}_)[0-9a-hjkmnp-tv-z]{26}\b")
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def make_example(body, today):
    """Return a body with ids that name nothing, and with instants as far from `DAY` as they are from `today`."""
    ids = {}

    def change(text):
        renamed = ID.sub(lambda found: ids.setdefault(found[0], f"{found[1]}{name_nothing(len(ids))}"), text)
        return move_day(renamed, today, DAY)

    return map_texts(body, change)


def name_nothing(number):
    return f"01jdm5v5tze1xa6a4sbz1gk3c{DIGITS[number]}"


class Examples:
    """The shortest example of each operation, by its id."""

    def __init__(self):
        self.found = {}

    def hear(self, operation_id, content, today):
        """Keep the body of an accepted request if it is shorter than the one so far."""
        example = make_example(json.loads(content), today)
        known = self.found.setdefault(operation_id, example)
        self.found[operation_id] = min(example, known, key=rank)


def rank(example):
    text = json.dumps(example)
    return len(text), text
