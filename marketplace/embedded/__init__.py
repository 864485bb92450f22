"""NATS and PostgreSQL as plain child processes, from wheels, so that one command runs the whole market.

Both servers listen on loopback only, keep their data in our folder, require a password that is stored in a file of mode
600, and end when their parent ends, however it ends. The mode of a folder that is not ours is never changed.
"""
