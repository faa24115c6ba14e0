"""The two ways to the control port of a gateway on a cluster: from inside to its Service, from outside by the proxy.

The API server's proxy needs nothing of the cluster's network: whoever may talk to the API server, and may use this one
Service and read this one Secret, reaches the gateway. Inside the cluster the Service is called as it is, so that the
control of a gateway depends neither on that proxy nor on the permission to use it.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ipa.live.control_way import ANSWERS_WITHIN_S, ControlWay, DirectWay, RefusedError
from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError, ReadOnlyError
from ipa.live.kubernetes.names import TOKEN_KEY
from ipa.live.kubernetes.settings import Deployed
from ipa.live.tokens import CONTROL_HEADER, TokenFile, tokens_in

if TYPE_CHECKING:
    import aiohttp


def way_to(api: Api, deployed: Deployed, session: aiohttp.ClientSession, token_file: Path | None) -> ControlWay:
    """To the Service with the token in a file, as a pod of the cluster can; without one, by the API server's proxy."""
    return (
        ProxiedWay(api, deployed) if token_file is None else ServiceWay(api, deployed, session, TokenFile(token_file))
    )


class ServiceWay:
    """To the Service of the control port, at the address that it has now: a cluster need not have a DNS."""

    def __init__(self, api: Api, deployed: Deployed, session: aiohttp.ClientSession, tokens: TokenFile) -> None:
        self._api = api
        self._deployed = deployed
        self._session = session
        self._tokens = tokens
        self._direct: DirectWay | None = None

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> Any:
        """See `ControlWay`."""
        if self._api.read_only and method != "GET":
            raise RefusedError(f"{method} {path}: this client only reads")
        if self._direct is None:
            self._direct = DirectWay(self._session, await asyncio.to_thread(self._url, within_s), self._tokens)
        try:
            return await self._direct.call(method, path, body, query, within_s)
        except RunError as error:
            self._direct = None  # the Service may have been made anew, at another address
            raise RunError(f"Service {self._deployed.control_name}: {error}") from None

    def _url(self, within_s: float) -> str:
        name = self._deployed.control_name
        try:
            service = self._api.get("Service", self._deployed.namespace, name, within_s)
        except ApiError as error:
            raise RunError(f"the address of Service {name} cannot be read: {error.text}") from None
        if service is None:
            raise RunError(f"Service {name} does not exist; run ipa live up")
        spec = service["spec"]
        return names.url(spec["clusterIP"], spec["ports"][0]["port"])


class ProxiedWay:
    """By the API server's proxy, with the token that the Secret holds.

    The proxy keeps the header `Authorization` to itself, so that the token goes in a header of its own.
    """

    def __init__(self, api: Api, deployed: Deployed) -> None:
        self._api = api
        self._deployed = deployed
        self._token: str | None = None
        service = f"services/http:{deployed.control_name}:control"
        self._proxy = f"/api/v1/namespaces/{deployed.namespace}/{service}/proxy"

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> Any:
        """See `ControlWay`."""
        return await asyncio.to_thread(self._call, method, path, body, query, within_s)

    def _call(self, method: str, path: str, body: object, query: Mapping[str, str] | None, within_s: float) -> Any:
        url = f"{self._proxy}{path}" + (f"?{urlencode(query)}" if query else "")
        failure = f"the gateway does not answer {method} {path} by the API server's proxy"
        try:
            self._token = self._token or read_token(self._api, self._deployed, within_s)
            headers = {CONTROL_HEADER: self._token}
            return self._api.request(method, url, body, within_s=within_s, headers=headers)
        except ReadOnlyError as error:
            raise RefusedError(str(error)) from None
        except LiveError as error:
            raise RunError(f"{failure}: {error}") from None
        except ApiError as error:
            if error.status in (400, 409, 413) and not error.is_transient:
                raise RefusedError(error.text) from None
            if error.status == 401:
                self._token = None  # it may have been replaced: the next call reads it again
            raise RunError(f"{failure}: {error.text}") from None


def read_token(api: Api, deployed: Deployed, within_s: float = ANSWERS_WITHIN_S) -> str:
    """The token that the Secret of the control port holds. Raises ApiError; LiveError where there is none."""
    name = deployed.control_name
    secret = api.get("Secret", deployed.namespace, name, within_s)
    if secret is None:
        raise LiveError(f"Secret {name} does not exist; run ipa live up")
    text = b64decode((secret.get("data") or {}).get(TOKEN_KEY, "")).decode(errors="replace")
    return tokens_in(text, f"Secret {name}, key {TOKEN_KEY}")[0]
