"""Weak and strong random copies of a whole batch, on the device, without a loop over examples."""
