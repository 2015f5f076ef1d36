"""The local stack's certificates, in one folder: its own CA, and the certificates it has signed."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local.ports import HOST
from services.runtime.security.keys import read_private_file, write_private_file
from services.runtime.security.service_identity import SERVICES
from services.runtime.security.tls import CertificateFiles

_VALID, _RENEWED = timedelta(days=90), timedelta(days=30)
_CA_VALID = timedelta(days=3650)

_NAMED_BY_HOST = ("public", "smtp", "tls-end", "codec")
"""Certificates that name their host: `public` is the gateway's port for frontends."""

_NAMES = tuple(dict.fromkeys((*SERVICES, *_NAMED_BY_HOST)))


class Certificates:
    """The certificates in a folder, each with its key: `identity.crt`, `identity.key`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = folder / "ca.crt"
        """The CA certificate that verifies the others."""

    def files(self, name: str) -> CertificateFiles:
        """A certificate of a component, `public`, `smtp` or `tls-end`, and the CA."""
        return CertificateFiles(self._folder / f"{name}.crt", self._folder / f"{name}.key", self.ca, name)

    def create(self) -> None:
        """Creates certificates that are missing or valid for less than 30 days; a new CA signs all anew."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _expires_within(self.ca, _VALID):
            for path in self._folder.glob("*.crt"):
                path.unlink()
            self._sign("ca")
        for name in _NAMES:
            if _expires_within(self.files(name).certificate, _RENEWED):
                self._sign(name)

    def _sign(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        is_ca = name == "ca"
        signer = key if is_ca else self._ca_key()
        subject = _name("Liity local CA") if is_ca else _name(name)
        now = datetime.now(UTC)
        unsigned = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_ca else _certificate(self.ca).subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            # Clocks differ a little.
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + (_CA_VALID if is_ca else _VALID))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
            .add_extension(_key_usage(is_ca=is_ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
        )
        if not is_ca:
            usages = [ExtendedKeyUsageOID.SERVER_AUTH]
            names: list[x509.GeneralName] = [x509.DNSName(name)]
            if name in SERVICES:
                usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
            if name in _NAMED_BY_HOST:
                names += [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
            unsigned = unsigned.add_extension(x509.ExtendedKeyUsage(usages), critical=False).add_extension(
                x509.SubjectAlternativeName(names), critical=False
            )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private_file(self._folder / f"{name}.key", pem.decode())
        certificate = unsigned.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)
        write_private_file(self._folder / f"{name}.crt", certificate.decode())

    def _ca_key(self) -> ec.EllipticCurvePrivateKey:
        key = load_pem_private_key(read_private_file(self._folder / "ca.key").encode(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("The local CA's key is of another kind")
        return key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _expires_within(path: Path, time: timedelta) -> bool:
    return not path.exists() or _certificate(path).not_valid_after_utc - datetime.now(UTC) < time


def certificates_in(folder: Path) -> Certificates:
    """The certificates of the stack in a folder."""
    return Certificates(folder / "tls")


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
