"""Mails: rendered, stored, sent."""
