"""Settings: one class per component, read from the environment; a wrong one is reported in one line."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import DirectoryPath, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableValue

from services.runtime.components import current_component


class SettingsError(Exception):
    """A setting is missing or wrong. The text is the one line to show."""


class SettingFiles(BaseSettings):
    """Where settings are read from that the environment lacks."""

    model_config = SettingsConfigDict(env_prefix="LIITY_", frozen=True)

    settings_dir: DirectoryPath | None = Field(
        default=None,
        description="Folder with a file for each variable that the environment lacks, named as the variable.",
    )


class KmsSettings(BaseSettings):
    """Settings of every program that reads key files, prefix `LIITY_`."""

    model_config = SettingsConfigDict(env_prefix="LIITY_", frozen=True)

    kms_key_uri: str = Field(
        "",
        description="The KMS key under which secret key files are encrypted: `gcp-kms://…`, `aws-kms://…` "
        "or `hcvault://…`. Without one they are not encrypted. Credentials come from the provider's own "
        "environment.",
    )


class RuntimeSettings(KmsSettings):
    """Settings of every component."""

    keys_dir: Path = Field(
        description="Folder of keysets and service keys (mode 0600, or 0440 as Kubernetes mounts them)."
    )
    log_format: Literal["json", "console"] = Field("json", description="JSON lines, or text for a terminal.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    web_url: str = Field(
        "https://liity.example", description="Address of the web pages: links in mail begin with it."
    )
    library_url: str = Field(
        "",
        description="Address of the library's service for customers, to which the welcome leads; that of the"
        " web pages if empty.",
    )
    customer_service_email: str = Field(
        "customer-service@liity.example",
        description="Customer service's address, shown where people get stuck.",
    )
    customer_service_url: str = Field(
        "https://liity.example/contact", description="Customer service's contact page, chat and FAQ."
    )
    tls_ca: Path | None = Field(
        None, description="PEM of the CA of all components' certificates: turns mutual TLS between them on."
    )
    tls_certificate: Path | None = Field(
        None, description="PEM of the component's own certificate, with its name as a DNS name."
    )
    tls_key: Path | None = Field(
        None, description="PEM of its key (of mode 0600, or 0440 as Kubernetes mounts it)."
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if len({path is None for path in (self.tls_ca, self.tls_certificate, self.tls_key)}) > 1:
            raise ValueError("LIITY_TLS_CA, LIITY_TLS_CERTIFICATE and LIITY_TLS_KEY go together")
        return self


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load(settings: type[SettingsT]) -> SettingsT:
    """Reads settings from the environment. Raises `SettingsError` that names each wrong variable.

    Of a component that is served, its own variable comes first: `LIITY_IDENTITY_LISTEN` before
    `LIITY_LISTEN`. So components of one process can have different values. What the environment lacks is read
    from the folder LIITY_SETTINGS_DIR, whose files are named as the variables.
    """
    prefix = settings.model_config.get("env_prefix", "")
    component = current_component()
    own_prefix = f"{prefix}{component.name}_".upper().replace("-", "_") if component else prefix
    together = component is not None and not component.is_alone

    def variable(field: str) -> str:
        own = f"{own_prefix}{field}".upper()
        return own if together or own in os.environ else f"{prefix}{field}".upper()

    try:
        # Values given to the class come before those of the environment.
        own = EnvSettingsSource(settings, env_prefix=own_prefix)() if component else {}
        return settings(_secrets_dir=SettingFiles().settings_dir, **own)
    except ValidationError as error:
        complaints = (
            _complaint(variable, problem) for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError("Wrong settings: " + "; ".join(complaints)) from None
    except UnreadableValue as error:
        # A list that is not JSON: the error names the field, not its value.
        named = re.search('field "([^"]+)"', str(error))
        wrong = variable(named[1]) if named else prefix
        raise SettingsError(f"Wrong settings: {wrong}: JSON is expected here") from None


def _complaint(variable: Callable[[str], str], problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    # An error about several settings names them itself.
    field = "_".join(str(part) for part in problem["loc"])
    return f"{variable(field)}: {message}" if problem["loc"] else message
