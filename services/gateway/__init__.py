"""The only entry point for frontends: authenticates callers, starts and updates workflows. Stateless."""
