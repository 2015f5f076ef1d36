"""The one door for frontends: checks who calls, starts, updates and reads. It keeps no state."""
