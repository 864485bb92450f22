"""How long a test waits for what must happen: a busy machine is not a defect, so the bound only ends a hang."""

PATIENCE_SECONDS = 60
