"""The mailbox of the local stack."""
