"""Judging a trained model: measures in `metrics`, grids of images and plots in `pictures`."""
