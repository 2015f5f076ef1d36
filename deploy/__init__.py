"""The program `liity`: the local stack, the demonstration, what administrators do."""
