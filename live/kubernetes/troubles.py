"""What a person should know of a controller on a cluster: what keeps it from its work, kind by kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ipa.live.kubernetes.look import Look, said
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed


def seen_by_looks(look: Look, deployed: Deployed) -> dict[str, str]:
    """Kind, of `backend.TROUBLES` -> a sentence, empty where there is no such trouble; of what one look has found."""
    return {
        "no_gateway": _no_gateway(look, deployed) if look.lacks_gateway else "",
        "held": held(deployed) if look.is_held else "",
        "stopped": said({name: why for name, why in look.stopped.items() if name not in look.foreign}),
        "foreign_scaler": said(look.foreign),
    }


def held(deployed: Deployed) -> str:
    """What holds the controller back while the kill switch is on."""
    return f"the annotation ipa/hold of ConfigMap {deployed.instance} is true"


def unserved(pods: Collection[Pod], stages: Collection[str]) -> str:
    """The stages without a replica that is ready; empty if there are none."""
    there: Mapping[str, list[Pod]] = {name: [pod for pod in pods if pod.stage == name] for name in stages}
    return said(
        {
            name: f"none of its {sum(not pod.is_over for pod in members)} replicas is ready"
            for name, members in there.items()
            if not any(pod.is_serving for pod in members)
        }
    )


def _no_gateway(look: Look, deployed: Deployed) -> str:
    why = look.gateway_problem or look.gateway_delay
    return f"no pod of {deployed.gateway_name} is ready" + (f": {why}" if why else "")
