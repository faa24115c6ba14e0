"""How a scenario runs live: on what, for how long, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipa.live import LiveError, LiveSettings
from ipa.profiles import read_yaml, validate_document
from ipa.studies.scenario import Given, put


@dataclass(frozen=True)
class LiveCluster:
    """Which cluster (None: the kubeconfig's current context and its namespace), and which deployment there (None:
    ipa-PIPELINE). `url`: where to send the load; None: the gateway's Service, from outside."""

    context: str | None = None
    namespace: str | None = None
    name: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Live:
    """How a scenario runs live: everything that is not a property of the scenario.

    `duration_s`: the seconds of the load to run; None: all of it. `cluster` None: on this machine.
    """

    duration_s: float | None = None
    cluster: LiveCluster | None = None
    settings: LiveSettings = field(default_factory=LiveSettings)

    @property
    def backend(self) -> str:
        """The name of the backend."""
        return "loopback" if self.cluster is None else "kubernetes"


def read_live_settings(file: Path | None = None, values: Mapping[str, Any] | None = None) -> LiveSettings:
    """The settings in a file of the kind `deployment` (None: the defaults), with `values` by dotted key over them.

    Raises LiveError, which names the file and line, or the key.
    """
    data: dict[str, Any] = {}
    if file is not None:
        document = read_yaml(file, kind="deployment", error=LiveError)
        validate_document(LiveSettings, document, error=LiveError)
        data = document.data
    for key, value in (values or {}).items():
        put(data, key.split("."), value, key)
    return validate_document(LiveSettings, Given("", data, {}), error=LiveError)
