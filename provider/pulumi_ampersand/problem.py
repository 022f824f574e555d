"""Problem details (RFC 9457), the form in which the API reports errors.

Only what helps to mend an error is kept. ``value`` of an issue may hold what the caller sent, a secret filter for
example, and is dropped while parsing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pulumi_ampersand.answers import repair_text
from pulumi_ampersand.model import parse_time


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _objects(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# An error must not fail to be reported because a field of it has an odd type, so odd types count as absent.
_Text = Annotated[str, BeforeValidator(_text)]
_Flag = Annotated[bool | None, BeforeValidator(_flag)]


class Issue(BaseModel):
    """One thing that is wrong with what was sent."""

    model_config = ConfigDict(extra="ignore")

    where: _Text = Field("", alias="in")
    name: _Text = ""
    detail: _Text = ""

    def __str__(self) -> str:
        place = " ".join(filter(None, (self.where, f'"{self.name}"' if self.name else "")))
        return ": ".join(filter(None, (place, self.detail)))


class Problem(BaseModel):
    """A problem document, every field of it optional."""

    model_config = ConfigDict(extra="ignore")

    title: _Text = ""
    detail: _Text = ""
    remedy: _Text = ""
    request_id: _Text = Field("", alias="requestId")
    retryable: _Flag = None
    retry_after: _Text = Field("", alias="retryAfter")
    issues: Annotated[list[Issue], BeforeValidator(_objects)] = Field(default_factory=list)

    @classmethod
    def parse(cls, data: bytes) -> Problem:
        """Read a problem document; what isn't one gives an empty problem, for the status still tells something."""
        try:
            return cls.model_validate_json(repair_text(data))
        except ValidationError:
            return cls()

    def explanation(self) -> str:
        """Detail, or title, and the issues; empty if the document has none of them."""
        said = self.detail or self.title
        # Some problems have one issue, and say it in both places.
        issues = [str(issue) for issue in self.issues[:5] if not issue.detail or issue.detail not in said]
        return "; ".join(filter(None, (said.rstrip(".") if issues else said, *issues)))

    def not_before(self) -> datetime | None:
        """The time before which the request should not be repeated."""
        return parse_time(self.retry_after) if self.retry_after else None
