"""The peer of benchmark (c): the entries and balances of `accounts`, by the `eventsourcing` package's own means."""

import os
import time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from marketplace.projections.billing.accounts.posting import Subject
from marketplace.projections.billing.accounts.rules import post
from marketplace.projections.engine.recorded_events import parse_facts
from tests.projections.story import Story

EVENTS_PER_AGGREGATE = 50
PostingRow = tuple[int, int, str, str | None, str, str, str]


class Ledger(Aggregate):
    @event("Posted")
    def post(self, rows: list[list[Any]]) -> None:
        """Record the postings of one event."""


class Ledgers(Application):  # type: ignore[type-arg]
    pass


class View(PostgresTrackingRecorder):
    def __init__(self, datastore: Any, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements += [
            SQL(
                "CREATE TABLE IF NOT EXISTS entries (sequence bigint, line int, account text, party_id text, "
                "unit text, amount numeric, tag text, PRIMARY KEY (sequence, line))"
            ),
            SQL(
                "CREATE TABLE IF NOT EXISTS balances (account text PRIMARY KEY, party_id text, unit text, "
                "amount numeric, last_sequence bigint)"
            ),
        ]

    def write(self, rows: list[list[Any]], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            for row in rows:
                exact = (*row[:5], Decimal(row[5]), row[6])
                cursor.execute("INSERT INTO entries VALUES (%s, %s, %s, %s, %s, %s, %s)", exact)
                cursor.execute(
                    "INSERT INTO balances AS b VALUES (%s, %s, %s, %s, %s) ON CONFLICT (account) DO UPDATE "
                    "SET amount = b.amount + EXCLUDED.amount, last_sequence = EXCLUDED.last_sequence",
                    (row[2], row[3], row[4], Decimal(row[5]), row[0]),
                )


class Postings(Projection[View]):
    name = "postings"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.write(getattr(domain_event, "rows", []), tracking)


class _Subjects(dict[str, Subject]):
    def find(self, subject_id: str) -> Subject | None:
        return self.get(subject_id)

    def put(self, subject: Subject) -> None:
        self[subject.id] = subject


def derive_postings(story: Story, events: int) -> list[list[PostingRow]]:
    """Return the rows of each of the first events; those that post nothing have none."""
    subjects = _Subjects()
    return [
        [
            (fact.sequence, line, p.account, p.party_id, p.unit, str(p.amount), fact.tag)
            for line, p in enumerate(post(fact.event, subjects))
        ]
        for fact in parse_facts(story.recorded[:events])
    ]


def measure_peer(url: str, story: Story, events: int) -> float:
    """Return how many events a second the peer's projection runner applies."""
    environment = _connect_by(url)
    with Ledgers(env=environment) as application:
        last = 0
        postings = derive_postings(story, events)
        for begin in range(0, len(postings), EVENTS_PER_AGGREGATE):
            ledger = Ledger()
            for rows in postings[begin : begin + EVENTS_PER_AGGREGATE]:
                ledger.post([list(row) for row in rows])
            last = application.save(ledger)[-1].notification.id
    begun = time.perf_counter()
    with ProjectionRunner(
        application_class=Ledgers, projection_class=Postings, view_class=View, env=environment
    ) as runner:
        runner.wait(last, timeout=600)
        seconds = time.perf_counter() - begun
    return last / seconds


def _connect_by(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    os.environ["PGOPTIONS"] = "-c synchronous_commit=off"
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": str(parts.hostname),
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": str(parts.username),
        "POSTGRES_PASSWORD": str(parts.password),
    }
