"""Key management service (KMS): a key outside the machine encrypts secret key files."""

from functools import lru_cache
from urllib.parse import urlsplit

import tink
from tink import aead
from typing_extensions import override

from services.runtime.settings import KmsSettings, SettingsError, load

_EXTRAS = {"gcp-kms": "gcp", "aws-kms": "aws", "hcvault": "vault"}
"""Providers by URI scheme, each with the optional dependency that it needs."""


def kms_key() -> aead.Aead | None:
    """The key of `LIITY_KMS_KEY_URI`; None if not set. SettingsError if it cannot be used.

    Its operations raise `tink.TinkError` with one line, whatever the provider's library raised.
    """
    uri = load(KmsSettings).kms_key_uri
    return _connect(uri) if uri else None


@lru_cache(maxsize=1)
def _connect(uri: str) -> aead.Aead:
    scheme = urlsplit(uri).scheme
    try:
        return _OneLineErrors(_provider(scheme, uri))
    except ImportError:
        raise SettingsError(
            f"LIITY_KMS_KEY_URI: the library of {scheme} is missing: pip install 'liity[{_EXTRAS[scheme]}]'"
        ) from None
    except Exception as error:  # noqa: BLE001 - each provider's library has errors of its own
        raise SettingsError(f"LIITY_KMS_KEY_URI: {_one_line(error)}") from None


def _provider(scheme: str, uri: str) -> aead.Aead:
    # Providers' libraries are optional: import only the one in use.
    match scheme:
        case "gcp-kms":
            from tink.integration import gcpkms  # noqa: PLC0415

            return gcpkms.GcpKmsClient(uri).get_aead(uri)
        case "aws-kms":
            from tink.integration import awskms  # noqa: PLC0415

            return awskms.AwsKmsClient(uri, None).get_aead(uri)
        case "hcvault":
            import hvac  # noqa: PLC0415
            from tink.integration import hcvault  # noqa: PLC0415

            place = urlsplit(uri)
            # Without a host, hvac uses VAULT_ADDR.
            client = hvac.Client(url=f"https://{place.netloc}" if place.netloc else None)
            return hcvault.new_aead(place.path, client)
        case _:
            # A provider that an extension has registered with Tink.
            return tink.kms_client_from_uri(uri).get_aead(uri)


class _OneLineErrors(aead.Aead):  # type: ignore[misc]  # Tink has no types
    def __init__(self, key: aead.Aead) -> None:
        self._key = key

    @override
    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        try:
            return bytes(self._key.encrypt(plaintext, associated_data))
        except Exception as error:  # noqa: BLE001 - as above
            raise tink.TinkError(_one_line(error)) from None

    @override
    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        try:
            return bytes(self._key.decrypt(ciphertext, associated_data))
        except Exception as error:  # noqa: BLE001 - as above
            raise tink.TinkError(_one_line(error)) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
