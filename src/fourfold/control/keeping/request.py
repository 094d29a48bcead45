"""What a backup is asked for with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fourfold.control.keeping.members import Keys


class BackupRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    volumes: bool = Field(default=False, description="What services have in their volumes, as it is at the moment")
    artifacts: bool = Field(default=False, description="What was built, which else is built again")
    keys: Keys = Field(
        description="The key of the secrets, those of Lambda's API, certificates: `sealed` with the passphrase, "
        "`plain` in the clear, or `none` of them"
    )
    passphrase: str = Field(default="", description="At least 10 characters, with `sealed`", max_length=1024)
    actor: str = Field(default="", max_length=200, description="Who asks; told in events")
