"""Shows the payloads of Temporal's histories readably, to those who may read them. It keeps no state."""
