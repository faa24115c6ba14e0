"""A run on a cluster serves the models that it began with: a replica that finds another does not start, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("kubernetes")

from ipa.live.kubernetes.fixed_models import key_of
from ipa.live.kubernetes.pod_model import main
from ipa.live.kubernetes.reconcile import Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look
from ipa.live.serving import digest_of, sums_of
from tests.live.kubernetes.fake import Rolling, Treatment
from tests.live.kubernetes.world import settings_of, tiny
from tests.live.serving.models_world import BUCKET, SOMEBODY, empty
from tests.live.world import sort

OLD, NEW = "0" * 12, "f" * 12


# ---- in the pod ----


def prepare(tmp_path: Path, folder: Path, *source: str) -> Result:
    """The init container's command, for which the digests of `tmp_path/fixed` are mounted."""
    files = {"--fixed-at": "fixed", "--digest-file": "digest", "--message-file": "message"}
    options = [text for option, name in files.items() for text in (option, str(tmp_path / name))]
    arguments = [str(folder), "--key", "a.sort.small", *source, *options]
    return CliRunner().invoke(main, arguments, env=SOMEBODY, catch_exceptions=False)


def model(folder: Path, text: str = "class Model:\n    def predict(self, inputs):\n        return inputs\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(text)
    return folder


def fix(tmp_path: Path, digest: str) -> None:
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "a.sort.small").write_text(digest)


def test_the_first_pod_says_the_digest_of_its_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "small")
    assert prepare(tmp_path, folder).exit_code == 0
    digest = digest_of(sums_of(folder))
    assert (tmp_path / "digest").read_text() == digest
    assert (tmp_path / "message").read_text() == f"a.sort.small {digest}"


def test_a_pod_that_finds_another_model_ends_with_one_line(tmp_path: Path) -> None:
    folder = model(tmp_path / "small")
    began_with = digest_of(sums_of(folder))
    fix(tmp_path, began_with)
    assert prepare(tmp_path, folder).exit_code == 0
    model(folder, "# version 2\n")
    result = prepare(tmp_path, folder)
    now = digest_of(sums_of(folder))
    assert result.exit_code == 1
    assert f"Error: {folder}: holds another model, {now}, than when the run began, {began_with}" in result.output
    assert "\n" not in result.output.strip()


@pytest.mark.usefixtures("reopened")
def test_a_store_whose_checksums_were_exchanged_with_its_files_is_found_out(tmp_path: Path, s3_url: str) -> None:
    """Its own SHA256SUMS agrees with the new files."""
    from ipa.live.kubernetes.model_store import push

    empty(s3_url)
    shelf = model(tmp_path / "shelf" / "sort" / "small")
    began_with = digest_of(sums_of(shelf))
    fix(tmp_path, began_with)
    push(tmp_path / "shelf", f"s3://{BUCKET}/all", s3_url, SOMEBODY)
    source = ("--from", f"s3://{BUCKET}/all/sort/small", "--endpoint", s3_url)
    assert prepare(tmp_path, tmp_path / "first", *source).exit_code == 0
    model(shelf, "# version 2\n")
    push(tmp_path / "shelf", f"s3://{BUCKET}/all", s3_url, SOMEBODY)
    result = prepare(tmp_path, tmp_path / "second", *source)
    assert result.exit_code == 1
    assert f"holds another model, {digest_of(sums_of(shelf))}, than when the run began, {began_with}" in result.output


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = prepare(tmp_path, tmp_path / "none")
    assert (result.exit_code, result.output.strip()) == (1, f"Error: {tmp_path / 'none'}: no such folder")


@pytest.mark.long
def test_a_server_that_starts_again_in_its_pod_compares_again(tmp_path: Path) -> None:
    """A volume may hold another model by then."""
    folder = model(tmp_path / "small")
    assert prepare(tmp_path, folder).exit_code == 0
    command = [sys.executable, "-m", "ipa.live.serving.server", "--backend", "folder", "--file", str(folder)]
    command += ["--digest", f"@{tmp_path / 'digest'}", "--check"]
    assert subprocess.run(command, check=False).returncode == 0
    model(folder, "# version 2\n")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "holds another model" in said.stderr


# ---- at the controller ----


def deployed(tmp_path: Path, models: str = "pvc:shelf") -> Deployed:
    return tiny(tmp_path, settings=settings_of(models__source=models))


def look(server: Rolling, reconciler: Reconciler, replicas: int = 1) -> Look:
    """What a pass finds once the server has rolled out what the one before has written."""
    wanted = sort(replicas=replicas)
    reconciler.reconcile(wanted, server.seen())
    server.settle()
    return reconciler.reconcile(wanted, server.seen())


def test_the_digest_of_a_variant_s_first_pod_holds_for_those_that_come_later(tmp_path: Path) -> None:
    there = deployed(tmp_path)
    server = Rolling(there)
    reconciler = Reconciler(server, there)  # type: ignore[arg-type]
    server.treats["small"] = Treatment(digest=OLD)
    look(server, reconciler)
    assert server.models == {key_of(there, "sort", "small"): OLD}
    assert reconciler.models.digests == {key_of(there, "sort", "small"): OLD}
    server.treats["small"] = Treatment(digest=NEW)
    found = look(server, reconciler, replicas=2)
    assert f"variant small: CrashLoopBackOff: Error: holds another model, {NEW}" in found.waits_for
    assert server.models == {key_of(there, "sort", "small"): OLD}


def test_another_controller_goes_by_what_is_fixed_already(tmp_path: Path) -> None:
    there = deployed(tmp_path)
    server = Rolling(there)
    server.treats["small"] = Treatment(digest=OLD)
    look(server, Reconciler(server, there))  # type: ignore[arg-type]
    server.written.clear()
    successor = Reconciler(server, there)  # type: ignore[arg-type]
    look(server, successor)
    assert successor.models.digests == {key_of(there, "sort", "small"): OLD}
    assert there.models_name not in str(server.written)


def test_models_from_another_place_are_fixed_anew(tmp_path: Path) -> None:
    there = deployed(tmp_path)
    server = Rolling(there)
    server.treats["small"] = Treatment(digest=OLD)
    look(server, Reconciler(server, there))  # type: ignore[arg-type]
    moved = deployed(tmp_path, "pvc:shelf/v2")
    server.deployed = moved
    server.treats["small"] = Treatment(digest=NEW)
    reconciler = Reconciler(server, moved)  # type: ignore[arg-type]
    assert look(server, reconciler).hopeless == ""
    assert reconciler.models.by_variant() == {"sort/small": NEW}
    assert reconciler.models.digests == {key_of(moved, "sort", "small"): NEW}
    assert set(server.models.values()) == {OLD, NEW}


def test_of_two_first_pods_with_different_models_one_is_named(tmp_path: Path) -> None:
    """Both began before a digest was fixed, while somebody exchanged the files."""
    there = deployed(tmp_path)
    server = Rolling(there)
    server.treats["small"] = Treatment(digest=OLD)
    server.stand(sort(replicas=2)["sort"])
    second = server.pods[1]
    second["status"]["initContainerStatuses"] = [server.prepared(second, NEW)]
    found = look(server, Reconciler(server, there), replicas=2)  # type: ignore[arg-type]
    assert found.failed["sort"] == (
        f"variant small: pod {second['metadata']['name']} holds another model, {NEW}, than when the run began, {OLD}"
    )


def test_emulated_models_are_not_fixed(tmp_path: Path) -> None:
    there = tiny(tmp_path)
    server = Rolling(there)
    look(server, Reconciler(server, there))  # type: ignore[arg-type]
    assert (server.models, there.models_name in str(server.written)) == ({}, False)
