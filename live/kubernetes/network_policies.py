"""The NetworkPolicies of a deployed pipeline. The node's probes always pass.

Model servers are called by the gateway only, and call only the object store of their models. Policies for the gateway
and for the controller in the cluster are optional.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from ipa.live.kubernetes import names
from ipa.live.kubernetes.gateway_manifests import CONTROL_PORT, DATA_PORT
from ipa.live.kubernetes.manifest_parts import MODEL_PORT, Manifest
from ipa.live.kubernetes.model_sources import is_fetched
from ipa.live.kubernetes.names import CONTROLLER, GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.store import AWS
from ipa.live.settings import LiveSettings

API_SERVER_PORTS = (443, 6443)
"""Where API servers usually listen: as a Service, and behind it. Network plugins look at either."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label with its own name that a namespace has since Kubernetes 1.21."""
DNS: Manifest = {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}


def network_policies(deployed: Deployed, owner: Manifest | None = None) -> list[Manifest]:
    """The policy of the model servers and, if it is asked for, that of the gateway."""
    meta = deployed.meta(names.name(deployed.instance, "replicas"), MODEL_SERVER, owner)
    ingress = [{"from": [_pods(deployed, GATEWAY)], "ports": _ports(MODEL_PORT)}]
    of_models = _policy(deployed, meta, MODEL_SERVER, ingress, _to_store(deployed.settings))
    return [of_models, *([gateway_policy(deployed, owner)] if deployed.settings.access.network_policy else [])]


def gateway_policy(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """Everyone reaches the gateway's data port; the controller and the settings' peers reach its control port.

    It calls model servers; the watch beside it calls the API server, by name or address.
    """
    control_from = [_pods(deployed, CONTROLLER), *map(_peer, deployed.settings.access.control_from)]
    ingress = [{"ports": _ports(DATA_PORT)}, {"from": control_from, "ports": _ports(CONTROL_PORT)}]
    calls = {"to": [_pods(deployed, MODEL_SERVER)], "ports": _ports(MODEL_PORT)}
    meta = deployed.meta(deployed.gateway_name, GATEWAY, owner)
    return _policy(deployed, meta, GATEWAY, ingress, [calls, _api_server(deployed.settings), DNS])


def controller_policy(deployed: Deployed, meta: Manifest, metrics_port: int) -> Manifest:
    """The settings' peers reach its metrics; it calls the gateway's control port and the API server."""
    peers = [*map(_peer, deployed.settings.access.control_from)]
    ingress = [{"from": peers, "ports": _ports(metrics_port)}] if peers else []
    calls = {"to": [_pods(deployed, GATEWAY)], "ports": _ports(CONTROL_PORT)}
    return _policy(deployed, meta, CONTROLLER, ingress, [calls, _api_server(deployed.settings), DNS])


def _policy(deployed: Deployed, meta: Manifest, part: str, ingress: list[Manifest], egress: list[Manifest]) -> Manifest:
    """A policy that allows these connections and no others. Servers drop empty lists, so that a `kubectl diff` of one
    would never be empty."""
    allowed = {"ingress": ingress, "egress": egress}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta,
        "spec": {
            "podSelector": {"matchLabels": names.selector(deployed.instance, part)},
            "policyTypes": ["Ingress", "Egress"],
            **{direction: peers for direction, peers in allowed.items() if peers},
        },
    }


def _to_store(settings: LiveSettings) -> list[Manifest]:
    """What model servers' pods may call: object store and DNS if an init container fetches from one, else nothing."""
    if not is_fetched(settings):
        return []
    endpoint = urlsplit(settings.models.s3_endpoint or AWS)
    store: Manifest = {"ports": _ports(endpoint.port or {"http": 80, "https": 443}[endpoint.scheme])}
    try:
        address = ip_address(endpoint.hostname or "")
    except ValueError:
        return [DNS, store]
    return [{"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}], **store}]


def _api_server(settings: LiveSettings) -> Manifest:
    networks = [*map(_peer, settings.access.api_networks)]
    return {"ports": _ports(*API_SERVER_PORTS), **({"to": networks} if networks else {})}


def _pods(deployed: Deployed, part: str) -> Manifest:
    return {"podSelector": {"matchLabels": names.selector(deployed.instance, part)}}


def _peer(origin: str) -> Manifest:
    """A namespace, or a network, as a policy's peer."""
    if "/" in origin:
        return {"ipBlock": {"cidr": origin}}
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: origin}}}


def _ports(*ports: int) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
