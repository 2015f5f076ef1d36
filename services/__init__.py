"""Liity's services: each a folder that knows no other, and the runtime they share."""
