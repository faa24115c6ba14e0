"""The image is built from the Dockerfile with buildah, offline, and runs as pods run it: user 65532, a read-only root.

The base image that the Dockerfile names is made here from Debian's packages; wheels come from the package index, by the
lock. Both need root on Linux.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.live.kubernetes.pack import USER
from tests.live.serving.serving_plane import TOKEN_FILES, ask, call, entry, put, wanted
from tests.live.serving.video_plane import STAGES

ROOT = Path(__file__).parents[3]
FILE = ROOT / "live/kubernetes/Dockerfile"
DEBIAN = "trixie"
"""The release whose Python is the one that the Dockerfile names."""
TOOLS = ("buildah", "mmdebstrap", "netavark", "unshare")
BASE = """\
FROM scratch
ADD base.tar /
RUN python3 -m venv /usr/local && printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf
"""
AS_A_POD = """\
mount --make-rprivate / && mount --bind "$0" "$0" && mount -t tmpfs tmpfs "$0/tmp" &&
mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && mount -o remount,bind,ro "$0" &&
exec chroot --userspec={user}:{user} "$0" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/tmp "$@"
"""

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
missing = [tool for tool in TOOLS if shutil.which(tool, path=f"{PATH}:/usr/lib/podman") is None]
pytestmark = [
    pytest.mark.long,
    pytest.mark.alone,
    pytest.mark.skipif(bool(missing) or os.geteuid() != 0, reason=f"needs root, and {', '.join(missing or TOOLS)}"),
]


class Image:
    """What was built: the root file system, mounted, and what the image says of itself."""

    def __init__(self, root: Path, config: dict[str, object]) -> None:
        self.root = root
        self.config = config

    def process(self, *command: str) -> subprocess.Popen[str]:
        """A command in the image, as in a pod: the image's user, nothing but /tmp can be written."""
        inside = ("sh", "-c", AS_A_POD.format(user=USER), str(self.root), *command)
        outside = ("unshare", "--mount", "--pid", "--fork")
        return subprocess.Popen(
            [*outside, *inside],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": PATH},
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        """What a command that succeeds prints."""
        with self.process(*command) as process:
            said, _ = process.communicate()
        assert process.returncode == 0, said
        return said

    @contextmanager
    def serving(self, module: str, *options: str) -> Iterator[dict[str, str]]:
        """What a server of ours announces, while it runs; its token can be read from outside of its own /tmp."""
        with self.process("python3", "-m", f"ipa.live.serving.{module}", *options) as process:
            try:
                assert process.stdout is not None
                said = json.loads(process.stdout.readline())
                if "control_url" in said:
                    token = f"/proc/{process.pid}/root{self.root}{said['control_token_file']}"
                    TOKEN_FILES[said["control_url"]] = token
                yield said
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # one that has become another user outlives its parent


def buildah(store: Path, *command: str) -> str:
    """What a buildah command that succeeds prints, with a store of its own and no more rights than this process has."""
    where = ("--root", str(store / "root"), "--runroot", str(store / "run"))
    environment = {**os.environ, "PATH": PATH, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(store)}
    done = subprocess.run(["buildah", *where, *command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def built(store: Path, file: Path, context: Path, tag: str, *options: str) -> None:
    limits = {"nproc": resource.RLIMIT_NPROC, "nofile": resource.RLIMIT_NOFILE}
    hard = {name: resource.getrlimit(which)[1] for name, which in limits.items()}
    ours = [f"--ulimit={name}={most}:{most}" for name, most in hard.items() if most != resource.RLIM_INFINITY]
    buildah(store, "bud", "--pull=never", "--network=host", *ours, *options, "-t", tag, "-f", str(file), str(context))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    store = tmp_path_factory.mktemp("image")
    wheels, base, python = store / "wheels", store / "base", re.search(r"python:([0-9.]+)-slim", FILE.read_text())
    assert python is not None
    base.mkdir()
    (base / "Dockerfile").write_text(BASE)
    kept = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale")]
    packages = [
        "--variant=essential",
        "--include=libstdc++6,passwd,python3,python3-venv",
        "--dpkgopt=force-unsafe-io",
        *kept,
    ]
    made = ["mmdebstrap", "--quiet", *packages, DEBIAN, str(base / "base.tar")]
    debian = subprocess.Popen(made, env={**os.environ, "PATH": PATH})
    fetched = ("--only-binary=:all:", "--python-version", python[1], "--no-deps", "--require-hashes")
    lock = ("-r", ROOT / "requirements-image.lock", "-d", wheels)
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *fetched, *lock], check=True)
    assert debian.wait() == 0
    try:
        built(store, base / "Dockerfile", base, f"docker.io/library/{python[0]}")
        built(store, FILE, ROOT, "localhost/ipa-pipelines", f"--volume={wheels}:/wheels:ro")
        said = json.loads(buildah(store, "inspect", "--type=image", "localhost/ipa-pipelines"))
        container = buildah(store, "from", "--pull=never", "localhost/ipa-pipelines")
        yield Image(Path(buildah(store, "mount", container)), said["OCIv1"]["config"])
    finally:
        buildah(store, "rm", "--all")
        shutil.rmtree(store)


def test_it_starts_our_command_as_a_user_who_can_write_to_tmp_alone(image: Image) -> None:
    assert (image.config["User"], image.config["Entrypoint"]) == (str(USER), ["ipa"])
    assert image.run("id", "-u").strip() == str(USER)
    assert image.run("sh", "-c", "touch /tmp/here; touch /here /usr/local/here || echo refused").strip() == "refused"
    assert "Usage: ipa live up" in image.run("ipa", "live", "up", "--help")


def test_gateway_and_replicas_of_the_image_answer_a_request(image: Image) -> None:
    emulated = ("--pipeline", "video", "--start-up", "0", "--factor", "0")
    with ExitStack() as stack:
        gateway = stack.enter_context(image.serving("gateway", "--pipeline", "video"))
        listed = {}
        for stage, variant in STAGES:
            options = ("--stage", stage, "--variant", variant)
            replica = stack.enter_context(image.serving("server", *emulated, *options))
            listed[stage] = [entry(0, replica["url"], variant)]
        control = f"{gateway['control_url']}/control"
        put(f"{control}/configuration", {stage: wanted(variant) for stage, variant in STAGES})
        put(f"{control}/replicas", listed)
        status, answer = call("POST", f"{gateway['url']}/v2/models/video/infer", ask(data=[7]))
        assert (status, answer["outputs"][0]["data"]) == (200, [7])


def test_a_controller_of_the_image_runs_a_pipeline(image: Image) -> None:
    """`ipa live run` starts a gateway and replicas of the image, decides every ten seconds and serves requests."""
    told = image.run(
        *("ipa", "live", "run", "video", "--policy", "scale-only:low", "--trace", "constant:5:25"),
        *("--json", "--quiet"),
    )
    summary = json.loads(told)
    assert (summary["requests"], summary["live"]["ended"]) == (125, "")
    assert summary["completed"] > 0
    assert summary["decisions"] >= 2
