"""Training: the loop, its schedules, checkpoints and run folders. Knows only the model contract."""
