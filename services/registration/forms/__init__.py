"""The registration form: its normal form, edits and search keys. No I/O."""
