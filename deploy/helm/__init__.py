"""The Helm chart and its examples."""
