"""Speed, size and endurance, each a command that prints what it measured against a baseline in the same run."""
