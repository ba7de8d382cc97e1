"""The commands, one file each: `add_options` says what may be typed, `run` does it.

What needs torch is imported when a command runs, so that `dhm --help` stays quick.
"""
