"""The options of a live run, declared once for `ipa live run` and Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ipa.live import GatewayLimits
from ipa.studies.scenario import choices, option


@dataclass(frozen=True)
class LiveCluster:
    """Which cluster, and which deployment there."""

    context: str | None = option(None, "Context in the kubeconfig. Default: the current one.")
    namespace: str | None = option(None, "Namespace of the pipeline. Default: the context's.")
    name: str | None = option(None, "Name of the deployed pipeline. Default: ipa-PIPELINE.")
    url: str | None = option(
        None,
        "kubernetes: where to send the load. Default: the gateway's Service, from outside.",
        metavar="URL",
    )
    changes_per_minute: int = option(
        30, "kubernetes: change the pods of a stage at most this often. Default: 30.", least=1
    )
    control_token_file: Path | None = option(
        None,
        "kubernetes: call the gateway's control Service with the token in this file, as from inside the cluster. "
        "Default: through the API server's proxy, with the token of its Secret.",
    )


@dataclass(frozen=True)
class Live:
    """How a scenario runs live: everything that is not a property of the scenario. `cluster` None: on this machine,
    with a gateway of these `limits`."""

    duration_s: float | None = option(None, "Seconds of the load to run. Default: all of it.", above=0.0)
    source: str = option(
        "gateway",
        "Where policies get their observations live: gateway, in exact seconds, or prometheus. Default: gateway.",
        words=choices.Source,
    )
    prometheus: str | None = option(
        None, "Prometheus server that scrapes the gateway. Default: one is started.", metavar="URL"
    )
    advise: bool = option(False, "Decide and write the journal, but change nothing after the start.")
    decision_timeout_s: float | None = option(
        None, "Seconds that a decision may take. Default: the control interval, at most 5.", above=0.0
    )
    port: int = option(0, "Port of the gateway, for clients. Default: any free.", least=0, most=65535)
    control_port: int = option(
        0, "Port of the gateway's control API and metrics. Default: any free.", least=0, most=65535
    )
    metrics_port: int | None = option(None, "Serve the controller's own metrics on this port.", least=0, most=65535)
    metrics_host: str = option("127.0.0.1", "Address for --metrics-port. Default: 127.0.0.1.")
    state: Path | None = option(None, "Keep the journal in this file, and resume from it if it exists.")
    cluster: LiveCluster | None = None
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    prometheus_match: tuple[str, ...] = option(
        (),
        "Read only the series that have this label. Repeatable; all must match.",
        metavar='LABEL="VALUE"',
    )
    token_file: Path | None = option(None, "File with the token that the gateway asks its clients for. Default: none.")
    models: str = option(
        "",
        "loopback: folder with real models, [PIPELINE/]STAGE/VARIANT/, as they are when the run begins: a new version "
        "is a variant of its own, or served by another run. Default: emulated.",
        metavar="FOLDER|emulated",
    )
    samples: str = option(
        "",
        "What to send: a folder of files with its labels.jsonl, a .npz file whose rows are requests, or a .json file "
        "with a V2 request. Default: zeros, shaped as the model's metadata says.",
        metavar="FOLDER|FILE",
    )

    @property
    def backend(self) -> str:
        """The name of the backend."""
        return "loopback" if self.cluster is None else "kubernetes"
