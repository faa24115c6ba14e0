"""Ways to the control port of a gateway. A failure says which one was tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ipa.errors import Error
from ipa.live.errors import RunError
from ipa.live.tokens import TokenFile

if TYPE_CHECKING:
    import aiohttp

ANSWERS_WITHIN_S = 5.0


class RefusedError(Error):
    """The gateway refused; the text says why."""


class ControlWay(Protocol):
    """How calls of the control API get to the gateway."""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> Any:
        """The answer in JSON. Raises RefusedError with the gateway's reason, RunError where it does not answer."""
        ...


class DirectWay:
    """To the port itself, at `url`, with the token in a file."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tokens: TokenFile) -> None:
        self._session = session
        self._tokens = tokens
        self.url = url

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> Any:
        """See `ControlWay`."""
        import aiohttp

        failure = f"the gateway does not answer {method} {path} at {self.url}"
        try:
            async with self._session.request(
                method,
                self.url + path,
                json=body,
                params=query,
                headers=self._tokens.headers(),
                timeout=aiohttp.ClientTimeout(total=within_s),
                allow_redirects=False,
            ) as response:
                text = await response.read()
                status = response.status
                answer = await response.json(content_type=None) if text else {}
        except (TimeoutError, aiohttp.ClientError, ValueError, OSError) as error:
            raise RunError(f"{failure}: {error or type(error).__name__}") from None
        said = str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer)
        if status == 401:
            raise RunError(f"the gateway at {self.url} refuses the token in {self._tokens.path}: {said}")
        if status >= 400:
            raise RefusedError(said)
        return answer
