"""How Liity runs: the local stack, the program `liity`, and the files for compose and Kubernetes."""
