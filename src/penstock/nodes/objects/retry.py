"""The group of parameters that says how long and how often a request to a store is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from penstock.stores.layers.retry import RetryPolicy

__all__ = ["RetryConfig"]

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RetryConfig(BaseModel):
    """How long and how often a request is tried; see ``penstock.stores.layers.retry``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_s: Seconds = Field(
        default=120.0,
        description="Seconds from the start of a request after which it is not tried again; 0 is one try.",
    )
    first_wait_s: Seconds = Field(
        default=0.2,
        description="Seconds before the second try, at most; the wait is random and its bound doubles each time.",
    )
    max_wait_s: Seconds = Field(default=20.0, description="Bound of every wait but one that the store asks for.")

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.first_wait_s > self.max_wait_s:
            raise ValueError("first_wait_s must not be longer than max_wait_s")
        return self

    def policy(self) -> RetryPolicy:
        """The policy as the store layer takes it."""
        from penstock.stores.layers.retry import RetryPolicy

        return RetryPolicy(self.deadline_s, self.first_wait_s, self.max_wait_s)
