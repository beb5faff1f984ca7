"""Release, rollout, alert, retrain request."""
