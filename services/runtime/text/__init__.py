"""Text that people type or paste: cleaning, and e-mail addresses. No I/O."""
