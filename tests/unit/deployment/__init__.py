"""The files of deployments, checked without a cluster or Docker."""
