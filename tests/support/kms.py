"""Tink's fake KMS and its keys, instead of a provider's."""

import base64

import tink
from tink import aead, proto_keyset_format, secret_key_access

aead.register()


def new_fake_kms_key() -> str:
    """The URI of a new key; the URI holds the key."""
    keyset = tink.new_keyset_handle(aead.aead_key_templates.AES128_GCM)
    key = proto_keyset_format.serialize(keyset, secret_key_access.TOKEN)
    return "fake-kms://" + base64.urlsafe_b64encode(key).decode().rstrip("=")
