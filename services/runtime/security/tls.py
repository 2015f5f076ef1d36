"""TLS certificates for both ends of a connection, read again when their files change.

Between components TLS is mutual, and certificates name components, not hosts: the service `identity` and its
clients show certificates whose DNS name is the component's, wherever they run. A connection keeps its
certificate; new connections use the new one.
"""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from prometheus_client import Gauge
from pydantic import Field, model_validator

from services.runtime.security.private_files import require_private
from services.runtime.settings import RuntimeSettings, SettingsError

log = structlog.get_logger()

ValueT = TypeVar("ValueT")

_EXPIRY = Gauge(
    "liity_certificate_expiry_timestamp_seconds", "When the certificate in use expires.", ["file"]
)


class PublicTlsSettings(RuntimeSettings):
    """Settings of components with a port for frontends and browsers."""

    public_tls_certificate: Path | None = Field(
        None,
        description="PEM of the certificate shown to frontends and browsers, with its chain: turns TLS on.",
    )
    public_tls_key: Path | None = Field(
        None, description="PEM of its key (of mode 0600, or 0440 as Kubernetes mounts it)."
    )

    @model_validator(mode="after")
    def _public_tls_is_whole(self) -> Self:
        if (self.public_tls_certificate is None) != (self.public_tls_key is None):
            raise ValueError("LIITY_PUBLIC_TLS_CERTIFICATE and LIITY_PUBLIC_TLS_KEY go together")
        return self

    def public_files(self) -> "CertificateFiles | None":
        """The files of the public certificate; None without TLS."""
        if self.public_tls_certificate is None or self.public_tls_key is None:
            return None
        return CertificateFiles(self.public_tls_certificate, self.public_tls_key)


class FromFiles(Generic[ValueT]):
    """A value read from files, again when one changes. If new files are unusable, the old value stays."""

    def __init__(self, paths: Iterable[Path], read: Callable[[], ValueT]) -> None:
        self._paths = tuple(paths)
        self._read = read
        # Look before reading, so that a change in between is read again.
        self._seen = self._look()
        self._value = read()
        # gRPC calls from threads of its own, which lack our context variables.
        self._log = log.bind(
            **structlog.contextvars.get_contextvars(), files=[str(path) for path in self._paths]
        )

    def current(self) -> ValueT:
        """The current value: the same object as long as the files do not change."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._value = self._read()
            except SettingsError as error:
                self._log.warning("changed TLS files are not used", problem=str(error))
            else:
                self._log.info("changed TLS files are used")
        return self._value

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_looks_of(path) for path in self._paths)


class Pem(NamedTuple):
    """A certificate with its chain, its key, and the CAs accepted from the other end."""

    certificate: bytes
    key: bytes
    ca: bytes | None


Certificate = FromFiles[Pem]
"""A certificate that follows its files."""


@dataclass(frozen=True)
class CertificateFiles:
    """Paths of a certificate (all PEM). `name` is the DNS name that it must hold; empty for any."""

    certificate: Path
    key: Path
    ca: Path | None = None
    name: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths."""
        return (self.certificate, self.key, *((self.ca,) if self.ca else ()))

    def follow(self) -> Certificate:
        """The certificate, following its files. SettingsError if it cannot be used."""
        return FromFiles(self.paths, self.read)

    def read(self) -> Pem:
        """Reads and checks the files. SettingsError if they cannot be used."""
        pem = Pem(
            _read(self.certificate, "certificate"),
            self._read_key(),
            _read(self.ca, "CA") if self.ca else None,
        )
        leaf, *_ = _certificates(pem.certificate, self.certificate)
        try:
            key = load_pem_private_key(pem.key, password=None)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"TLS key {self.key} is no PEM key without a passphrase: {error}") from None
        if _public_bytes(key.public_key()) != _public_bytes(leaf.public_key()):
            raise SettingsError(f"TLS key {self.key} does not belong to certificate {self.certificate}")
        if leaf.not_valid_after_utc <= datetime.now(UTC):
            raise SettingsError(
                f"TLS certificate {self.certificate} expired on {leaf.not_valid_after_utc:%F}"
            )
        if self.name and self.name not in _dns_names(leaf):
            raise SettingsError(
                f"TLS certificate {self.certificate} is not of {self.name}: it lacks this DNS name"
            )
        if self.ca and pem.ca:
            _certificates(pem.ca, self.ca)
        _EXPIRY.labels(str(self.certificate)).set(leaf.not_valid_after_utc.timestamp())
        return pem

    def _read_key(self) -> bytes:
        key = _read(self.key, "key")
        require_private(self.key, "TLS key")
        return key


def component_certificate(name: str, settings: RuntimeSettings) -> Certificate | None:
    """A component's own certificate for mutual TLS; None if TLS is not configured.

    SettingsError if it cannot be used.
    """
    files = component_files(name, settings)
    return files.follow() if files else None


def component_files(name: str, settings: RuntimeSettings) -> CertificateFiles | None:
    """The files of a component's own certificate; None if TLS is not configured."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return CertificateFiles(settings.tls_certificate, settings.tls_key, settings.tls_ca, name)


def server_credentials(certificate: Certificate) -> grpc.ServerCredentials:
    """Credentials of a gRPC server. With CAs, callers must show a certificate of one of them."""
    shown = certificate.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this before every handshake.
        nonlocal shown
        newest = certificate.current()
        if newest is shown:
            return None
        shown = newest
        return _configuration(newest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        changed,  # type: ignore[arg-type]  # its stubs do not know that None means no change
        require_client_authentication=shown.ca is not None,
    )


def channel_credentials(pem: Pem) -> grpc.ChannelCredentials:
    """Credentials of a gRPC client, with the CAs that it accepts."""
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate)


def server_context(files: CertificateFiles, *, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """TLS context of a server other than gRPC's. SettingsError if the certificate cannot be used."""

    def read() -> ssl.SSLContext:
        files.read()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(files.certificate, files.key)
            if files.ca:
                context.load_verify_locations(files.ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            raise SettingsError(f"TLS certificate {files.certificate} cannot be used: {error}") from None
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    newest = FromFiles(files.paths, read)

    def follow(
        connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = newest.current()

    # Python calls this in every handshake, whether or not the client names a server.
    context = read()
    context.sni_callback = follow
    return context


def client_context(ca: Path) -> FromFiles[ssl.SSLContext]:
    """TLS context of a client that accepts this CA only and verifies the server's host name."""

    def read() -> ssl.SSLContext:
        _certificates(_read(ca, "CA"), ca)
        try:
            return ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise SettingsError(f"TLS CA {ca} cannot be used: {error}") from None

    return FromFiles((ca,), read)


def _looks_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"TLS {what} {path} cannot be read: {error.strerror}") from None


def _certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise SettingsError(f"TLS file {path} holds no PEM certificate") from None


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.DNSName)


def _public_bytes(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], root_certificates=pem.ca)
