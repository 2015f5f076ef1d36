"""The registration form: normalisation, edits and search keys. No I/O."""
