"""NATS and PostgreSQL as plain child processes, from wheels, so that one command runs the whole market.

Both servers listen on loopback only, keep their data in our folder, require a password that is stored in a file of mode
600, and end when their parent ends, however it ends. The mode of a folder that is not ours is never changed.
"""

from marketplace.embedded.folder import temporary_folder
from marketplace.embedded.nats import NatsServers, embedded_nats
from marketplace.embedded.postgres import PostgresServer, embedded_postgres

__all__ = ["NatsServers", "PostgresServer", "embedded_nats", "embedded_postgres", "temporary_folder"]
