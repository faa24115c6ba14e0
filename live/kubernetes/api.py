"""The API server, through the official client: plain data in and out, one exception for everything that goes wrong.

Nothing is retried here: the caller reads again and decides afresh (`reconcile`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ipa.errors import Error
from ipa.live.errors import LiveError
from ipa.live.kubernetes.names import FIELD_MANAGER, REPLICAS

Object = dict[str, Any]
OnWarning = Callable[[str], object]
"""Called with a warning of the server."""

ANSWERS_WITHIN_S = 10.0
WATCH_S = 20
"""The longest a watch may last; by then a connection that has died silently is noticed."""

CLOCK_IS_RIGHT_TO_S = 2.0
"""The largest difference between this machine's clock and the server's (which has whole seconds) that is ignored."""

TRANSIENT = (0, 408, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed later; 0: no answer at all."""


_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""A warning in an answer's header, such as that an API is deprecated; several are separated by commas."""

_PROXIED = re.compile(r"/api/v1/namespaces/[^/]+/(services|pods)/[^/]+/proxy/")
"""Paths that something other than the server answers, with another clock."""


log = logging.getLogger("ipa.live.kubernetes.api")

_QUESTION = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Where a client asks what it may do."""


class ApiError(Error):
    """The API server refused a request, or did not answer it (`status` 0)."""

    def __init__(self, action: str, status: int, text: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(f"{action}: {f'HTTP {status}: ' if status else ''}{text}")
        self.status = status
        self.text = text
        self.causes = causes

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in TRANSIENT


class ReadOnlyError(LiveError):
    """A client that only reads was asked to write."""


class Api:
    """A cluster as one user sees it. With `read_only`, any write raises ReadOnlyError before it is sent.

    Each warning of the server is passed once to `on_warning`.
    """

    def __init__(self, client: Any, read_only: bool = False, on_warning: OnWarning | None = None) -> None:
        from kubernetes.dynamic import DynamicClient

        self._client = DynamicClient(client, discoverer=_NoDiscovery)
        self._servers: tuple[float, float] | None = None  # its Unix time, at a moment of the monotonic clock
        self._older: dict[str, str] = {}  # kind -> the group that this server has it in
        self.read_only = read_only
        self._on_warning = on_warning or _log_warning
        self._warned: set[str] = set()
        self._may_list_nodes: bool | None = None

    def time_s(self) -> float:
        """Unix time: this machine's, or the server's where the two differ, since the server dates all objects."""
        ours_s = time.time()
        if self._servers is None:
            return ours_s
        theirs_s = self._servers[0] + time.monotonic() - self._servers[1]
        return ours_s if abs(ours_s - theirs_s) <= CLOCK_IS_RIGHT_TO_S else theirs_s

    def get(self, kind: str, namespace: str, name: str, within_s: float = ANSWERS_WITHIN_S) -> Object | None:
        """An object; None if it does not exist."""
        try:
            return self.request("GET", self._path(kind, namespace, name), within_s=within_s)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str, selector: str = "") -> Object:
        """The list object: `items`, and the `resourceVersion` in its metadata from which a watch goes on."""
        return self.request("GET", self._path(kind, namespace), label_selector=selector or None)

    def watch(
        self, kind: str, namespace: str, selector: str, resource_version: str, name: str = ""
    ) -> Iterator[Object]:
        """Events after a resource version, of the object of that name if one is given, until the server ends the watch.

        Raises ApiError: at once if the watch cannot begin, from the iterator if it breaks off.
        """
        action = f"watch {_plural(kind)}"
        response = self._send(
            "GET",
            path_of(kind, namespace),
            action,
            within_s=(ANSWERS_WITHIN_S, WATCH_S + ANSWERS_WITHIN_S),
            label_selector=selector or None,
            field_selector=f"metadata.name={name}" if name else None,
            resource_version=resource_version,
            watch=True,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_S,
        )
        return _events(response, action)

    def apply(
        self, manifest: Mapping[str, Any], resource_version: str | None = None, *, dry_run: bool = False
    ) -> Object:
        """Server-side apply with our field manager, never by force: another manager's field is answered with 409.

        With a resource version, only if it is current.
        """
        meta = manifest["metadata"]
        of_version = {} if resource_version is None else {"resourceVersion": resource_version}
        return self.request(
            "PATCH",
            path_of(manifest["kind"], meta["namespace"], meta["name"], manifest["apiVersion"]),
            {**manifest, "metadata": {**meta, **of_version}},
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            dry_run="All" if dry_run else None,
        )

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Create an object; if there is one already, that stays as it is."""
        try:
            self.request("POST", path_of(manifest["kind"], manifest["metadata"]["namespace"]), manifest)
        except ApiError as error:
            if error.status != 409:
                raise

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None = None) -> Object:
        """Set a Deployment's replicas and note the number as ours; with a resource version, only if it is current.

        The Deployment itself is written, not its scale subresource, so that our field manager owns the number.
        """
        meta: Object = {"annotations": {REPLICAS: str(replicas)}}
        if resource_version is not None:
            meta["resourceVersion"] = resource_version
        return self.patch("Deployment", namespace, name, {"metadata": meta, "spec": {"replicas": replicas}})

    def forget(self, kind: str, namespace: str, name: str, annotation: str) -> None:
        self.patch(kind, namespace, name, {"metadata": {"annotations": {annotation: None}}})

    def patch(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], within_s: float = ANSWERS_WITHIN_S
    ) -> Object:
        """Merge a patch into an object (RFC 7386: null removes a field)."""
        return self.request(
            "PATCH",
            path_of(kind, namespace, name),
            patch,
            within_s=within_s,
            content_type="application/merge-patch+json",
            field_manager=FIELD_MANAGER,
        )

    def delete(self, kind: str, namespace: str, name: str, *, alone: bool = False) -> None:
        """Delete an object and, unless `alone`, what it owns; an object that does not exist counts as deleted."""
        policy = "Orphan" if alone else "Background"
        try:
            self.request("DELETE", self._path(kind, namespace, name), propagation_policy=policy)
        except ApiError as error:
            if error.status != 404:
                raise

    def may(self, namespace: str, verb: str, group: str, resource: str, name: str = "") -> bool:
        """Whether this client's account may do that; `resource` may have a subresource, such as `deployments/scale`.

        It asks and changes nothing, so a client that only reads may ask too.
        """
        resource, _, subresource = resource.partition("/")
        attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
        attributes |= {key: value for key, value in (("subresource", subresource), ("name", name)) if value}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return bool(self.request("POST", _QUESTION, review)["status"]["allowed"])

    def lost_nodes(self) -> set[str]:
        """The nodes that are not ready; none where this account may not list nodes, which is asked once."""
        if self._may_list_nodes is None:
            self._may_list_nodes = self.may("", "list", "", "nodes")
        if not self._may_list_nodes:
            return set()
        conditions = {
            node["metadata"]["name"]: {each["type"]: each["status"] for each in node["status"].get("conditions") or ()}
            for node in self.request("GET", "/api/v1/nodes")["items"]
        }
        return {name for name, status_by_type in conditions.items() if status_by_type.get("Ready") != "True"}

    def groups(self) -> frozenset[str]:
        """The API groups that the server has, as "group/version"."""
        groups = self.request("GET", "/apis")["groups"]
        versions = frozenset(version["groupVersion"] for group in groups for version in group["versions"])
        self._older = {
            kind: older for kind, older in OLDER.items() if older in versions and VERSIONS[kind] not in versions
        }
        return versions

    def _path(self, kind: str, namespace: str, name: str = "") -> str:
        return path_of(kind, namespace, name, self._older.get(kind, ""))

    def request(
        self, method: str, path: str, body: object = None, *, within_s: float = ANSWERS_WITHIN_S, **options: Any
    ) -> Object:
        """Any request that is answered in JSON. Raises ApiError, also for an answer that is not JSON."""
        response = self._send(method, path, f"{method} {path}", body=body, within_s=within_s, **options)
        try:
            text = response.data
            content: Object = json.loads(text) if text else {}
        except Exception as error:  # the connection broke off, or something in front of the server answered
            raise ApiError(f"{method} {path}", 0, f"{type(error).__name__}: {error}") from None
        return content

    def _send(
        self,
        method: str,
        path: str,
        action: str,
        *,
        within_s: object,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        from kubernetes.client.exceptions import ApiException

        if self.read_only and method != "GET" and path != _QUESTION:
            raise ReadOnlyError(f"{action}: this client only reads")
        try:
            response = self._client.request(
                method.lower(), path, serialize=False, query_params=[], header_params=dict(headers or {}),
                _request_timeout=within_s, **options,
            )  # fmt: skip
        except ApiException as error:
            raise _failure(action, error) from None
        except Exception as error:  # whatever the connection raises
            raise ApiError(action, 0, f"{type(error).__name__}: {error}") from None
        if not _PROXIED.match(path):
            self._read_headers(response.headers)
        return response

    def _read_headers(self, headers: Mapping[str, str]) -> None:
        if date := headers.get("Date"):
            self._servers = parsedate_to_datetime(date).timestamp(), time.monotonic()
        for quoted in _WARNING.findall(headers.get("Warning") or ""):
            text = re.sub(r"\\(.)", r"\1", quoted)
            if text not in self._warned:
                self._warned.add(text)
                self._on_warning(text)


def connect(context: str | None = None, read_only: bool = False, on_warning: OnWarning | None = None) -> Api:
    """The cluster of a kubeconfig's context, or inside a pod, with no context given, the pod's own.

    Raises LiveError if the client is not installed or no configuration is found.
    """
    kubernetes = _client()
    configuration = kubernetes.client.Configuration()
    try:
        if context is None and in_cluster():
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        else:
            kubernetes.config.load_kube_config(_kubeconfig(), context, client_configuration=configuration)
    except (kubernetes.config.ConfigException, OSError) as error:
        if not Path(path := _kubeconfig() or "~/.kube/config").expanduser().exists():
            raise LiveError(f"no cluster: the kubeconfig {path} does not exist; name one in KUBECONFIG") from None
        raise LiveError(f"no cluster: {str(error).rstrip('.')}; set KUBECONFIG, or give --context") from None
    configuration.retries = False
    return Api(kubernetes.client.ApiClient(configuration), read_only, on_warning)


def _log_warning(text: str) -> None:
    log.warning("the API server warns", extra={"problem": text})


def _client() -> Any:
    """The official client. Raises LiveError if it is not installed."""
    try:
        import kubernetes
    except ImportError:
        raise LiveError(
            "the kubernetes backend needs its client: pip install '.[kubernetes]' in the checkout"
        ) from None
    return kubernetes


def _kubeconfig() -> str | None:
    """The kubeconfig that KUBECONFIG names now (the client remembers the one at its import); None: ~/.kube."""
    return os.environ.get("KUBECONFIG") or None


def in_cluster() -> bool:
    """Whether this process runs in a pod and no kubeconfig is named."""
    token = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ and token.is_file()


def current_namespace(context: str | None = None) -> str:
    """The namespace of a kubeconfig's context; `default` if it names none, or there is no kubeconfig.

    Raises LiveError for a context that the kubeconfig does not have.
    """
    if find_spec("kubernetes") is None:
        return "default"
    config = _client().config
    try:
        contexts, active = config.list_kube_config_contexts(_kubeconfig())
    except config.ConfigException:
        return "default"
    if context is not None and context not in (known := [each["name"] for each in contexts]):
        raise LiveError(f"--context {context}: the kubeconfig has no such context; it has {', '.join(known)}")
    chosen = next((each for each in contexts if each["name"] == context), active)
    return str(chosen["context"].get("namespace", "default"))


def path_of(kind: str, namespace: str, name: str = "", api_version: str = "") -> str:
    version = api_version or VERSIONS.get(kind, CORE)
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    path = f"{prefix}/namespaces/{namespace}/{_plural(kind)}"
    return f"{path}/{name}" if name else path


def _plural(kind: str) -> str:
    """The plural of a kind, as in paths; all of ours are regular."""
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


CORE = "v1"
VERSIONS = {
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v1",
    "Lease": "coordination.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ReplicaSet": "apps/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
}
"""The API groups of kinds outside the core group."""
OLDER = {"PodDisruptionBudget": "policy/v1beta1"}
"""The API groups of kinds on older servers."""


class _NoDiscovery:
    """Every path is spelled out here, so the server need not be asked for its resources first."""

    def __init__(self, *_: object) -> None: ...


def _failure(action: str, error: Any) -> ApiError:
    """The error of a refusal, with the server's message and the fields concerned."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body
    try:
        answer = json.loads(body or "{}")
    except ValueError:
        answer = {}
    details = answer.get("details") or {} if isinstance(answer, dict) else {}
    causes = tuple(f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in details.get("causes") or ())
    text = answer.get("message") if isinstance(answer, dict) else None
    return ApiError(action, int(error.status or 0), str(text or body or error.reason), causes)


def _events(response: Any, action: str) -> Iterator[Object]:
    """The events of a watch, to its end. Raises ApiError."""
    try:
        from kubernetes.watch.watch import iter_resp_lines

        for line in filter(None, iter_resp_lines(response)):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(action, int(status.get("code", 0)), status.get("message", "no reason given"))
            yield event
    except ApiError:
        raise
    except Exception as error:  # the connection broke off, or the event with it
        raise ApiError(action, 0, f"{type(error).__name__}: {error}") from None
    finally:
        response.close()
