"""`marketplace log export`, `verify --file` and `import` as an operator types them."""

from pathlib import Path

from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from tests.log.build import make_writes
from tests.log.cases import read_all
from tests.projections.test_command_line import Shell


async def test_a_log_is_taken_away_checked_and_brought_back(
    jetstream_log: JetStreamLog, nats_server: NatsServers, tmp_path: Path
):
    await jetstream_log.append(make_writes(700))
    shell, file = Shell(nats_server.url, ""), tmp_path / "log.gz"
    code, said = await shell.run("log", "export", "--to", str(file))
    assert (code, f"700 events in {file}" in said) == (0, True)
    code, said = await shell.run("log", "export", "--to", str(file))
    assert (code, "file_exists" in said) == (2, True)
    code, said = await shell.run("log", "export", "--to", str(tmp_path / "missing" / "log.gz"))
    assert (code, "log.gz cannot be written: No such file or directory; check the path" in said) == (2, True)
    code, said = await shell.run("log", "verify", "--file", str(file))
    assert (code, "whole: 700 events of 700 aggregates" in said) == (0, True)

    code, said = await shell.run("log", "import", str(file), "--data", str(tmp_path / "data"))
    assert (code, "700 events stored, 0 were there already" in said) == (0, True)
    code, said = await shell.run("log", "import", str(file), "--data", str(tmp_path / "data"))
    assert (code, "0 events stored, 700 were there already" in said) == (0, True)
    code, said = await shell.run("log", "import", str(file))
    assert (code, "0 events stored, 700 were there already" in said) == (0, True)

    await jetstream_log.append(make_writes(1))
    code, said = await shell.run("log", "import", str(file))
    assert (code, "log_differs" in said) == (2, True)
    assert len(await read_all(jetstream_log)) == 701
