"""What docs/serving.md says is true: metrics, control API, limits, and the example, which is run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipa import profiles
from ipa.live.plane import free_port
from ipa.live.serving import admission, bodies, gateway, protocol, replica_clients, server
from ipa.live.serving.control_api import control_application
from ipa.live.serving.host import Gateway
from ipa.live.serving.models import own_model
from ipa.live.tokens import TokenFile
from tests.live.serving.test_models import answer
from tests.test_docs import DOCS, Block, blocks, named, table_rows

TEXT = " ".join((DOCS / "serving.md").read_text(encoding="utf-8").split())


def block(starting: str) -> Block:
    (found,) = (each for each in blocks(DOCS / "serving.md") if each.text.startswith(starting))
    return found


def test_every_call_of_the_control_api_is_documented() -> None:
    async def calls() -> set[str]:
        opened = Gateway(profiles.load("video"))
        routes = control_application(opened, TokenFile(Path("none"))).router.routes()
        made = {f"{route.method} {route.resource.canonical}" for route in routes if route.resource is not None}
        await opened.close()
        return made

    rows = table_rows("serving.md", "The control API", "| call |")
    health = {f"{method} /v2/health/{what}" for method in ("GET", "HEAD") for what in ("live", "ready")}
    made = {call for call in asyncio.run(calls()) - health if not call.startswith("HEAD")}
    assert {named(row[0]) for row in rows} == made


def test_every_option_that_is_named_exists() -> None:
    options = {
        option for command in (gateway.main, server.main) for parameter in command.params for option in parameter.opts
    }
    section = TEXT.split("## Soak and chaos")[0]
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section)) <= options


def test_the_limits_are_those_in_force() -> None:
    assert f"| a body | {bodies.READ_S:g} s;" in (DOCS / "security.md").read_text(encoding="utf-8")
    assert f"and at most {admission.MOST_INSIDE_BYTES // 2**30} GiB" in TEXT
    most, in_a_pod = admission.MessageLimits(), admission.MessageLimits.within(128 * 2**20)
    assert f"| a quarter | {most.body_bytes // 2**20} MiB | {in_a_pod.body_bytes // 2**20} MiB |" in TEXT
    json_mb, in_a_pod_mb = most.json_bytes // 2**20, in_a_pod.json_bytes // 2**20
    assert f"| a sixteenth | {json_mb} MiB, or `gateway.most_json_bytes` | {in_a_pod_mb} MiB |" in TEXT
    assert f"JSON counts {admission.JSON_GROWS} bytes more for each byte" in TEXT
    assert f"may become {bodies.MOST_RATIO} times larger, or {bodies.FREE_OF_RATIO_BYTES // 2**20} MiB" in TEXT
    assert f"limited to {protocol.MOST_TENSORS:,} tensors, {protocol.MOST_TEXTS['inputs']:,} `BYTES` elements" in TEXT
    assert f"{protocol.MOST_PARAMETERS_BYTES // 2**10} KiB of parameters, nested {protocol.MOST_LEVELS} deep" in TEXT
    assert f"`id`, of up to {protocol.LONGEST_ID} characters" in TEXT
    assert f"JSON of more than {bodies.AT_ONCE_BYTES // 2**10} KiB is read" in TEXT
    assert f"whose JSON may have {replica_clients.MOST_ANSWER_JSON_BYTES // 2**20} MiB" in TEXT
    assert f"Model servers accept {admission.MOST_MESSAGE_BYTES // 2**20} MiB" in TEXT


def test_the_model_of_ones_own_works(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(block("class MyModel").text)
    model = own_model(f"{tmp_path / 'my_model.py'}:MyModel")
    image = np.eye(10, dtype=np.float32)[[3, 7]]
    assert answer(model, {"image": image})["label"].tolist() == [[3], [7]]
    model.close()


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the example is for bash and curl")
def test_the_example_by_hand_works(tmp_path: Path) -> None:
    """On free ports in place of those shown."""
    script = block("EMULATED=").text
    files = {name: file_block(name).text for name in ("replicas.json", "configuration.json")}
    shown = sorted(set(re.findall(r"(?<=[ :])8\d{3}\b", script)))
    assert len(shown) == 4
    for port in shown:
        free = free_port()
        script = re.sub(rf"(?<=[ :]){port}\b", str(free), script)
        files = {name: text.replace(f":{port}", f":{free}") for name, text in files.items()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    result = subprocess.run(
        ["bash", "-e", "-c", script],
        capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert '"outputs":[{"name":"image","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]}]' in result.stdout
    assert '"outcome":"completed"' in result.stdout


def file_block(name: str) -> Block:
    (found,) = (each for each in blocks(DOCS / "serving.md") if each.file == name)
    return found
