"""The one command, and the demo."""
