"""How a log is read, as far as the file does not say it itself: the key `read` of a scenario."""

from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, ValidationError

from ipa.errors import did_you_mean
from ipa.models import FileModel, refusal
from ipa.traces.checks import LONGEST_S, TraceError

NO_COUNTS = "none"
"""In place of a column of counts: each row is a request."""

TimeUnit = Literal["s", "ms", "us", "ns", "min", "h", "d"]


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        near = did_you_mean(zone, available_timezones())
        text = f"{zone!r}: this machine knows no such zone; give one such as Europe/Berlin{near}"
        raise refusal(text) from None
    return zone


class Reading(FileModel):
    """What a log's columns mean, where it leaves that open.

    `Reading(time_unit="ms")` raises TraceError for a wrong key or value; a scenario's file names the line as well.
    """

    time_column: str | None = Field(default=None, description="column of times; default: by its name")
    time_unit: TimeUnit | None = Field(
        default=None, description="unit of the numbers in it; default: from its name, or as numbers since 1970 say it"
    )
    time_zone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None,
        description="zone of times without one, such as Europe/Berlin; default: a clock without daylight saving",
    )
    count_column: str | None = Field(
        default=None, description=f"column of counts; {NO_COUNTS}: each row is a request; default: by its name"
    )
    step: Annotated[int, Field(ge=1, le=LONGEST_S)] | None = Field(
        default=None, description="how long each count is for, such as 1m [s]; default: by the times"
    )
    skip_bad_lines: Annotated[int, Field(ge=0)] = Field(
        default=0, description="how many lines that cannot be read may be skipped; they are named"
    )

    if not TYPE_CHECKING:  # type checkers derive the signature from the keys

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                wrong = error.errors()[0]
                key = ".".join(str(part) for part in ("read", *wrong["loc"]))
                given = "" if wrong["type"] == "refused" else f"; given {wrong['input']!r}"
                raise TraceError(f"{key}: {wrong['msg']}{given}") from None

        __init__.__pydantic_base_init__ = True  # files are validated without it: their own errors know the lines

    @property
    def said(self) -> dict[str, object]:
        """The keys on times and counts that are given."""
        return self.model_dump(exclude={"skip_bad_lines"}, exclude_none=True)

    @property
    def in_vain(self) -> str:
        """The end of an error text that says which keys to omit, for files whose times need none."""
        return f"leave {' and '.join(f'read.{key}' for key in self.said)} out"


NOTHING_SAID = Reading()


def ask(key: str, value: object) -> str:
    """How a person says a key, in an error text: `--set read.time_unit=ms`."""
    return f"--set read.{key}={value}"
