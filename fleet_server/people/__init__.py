"""People: users, API tokens, web sessions, and what they may do."""
