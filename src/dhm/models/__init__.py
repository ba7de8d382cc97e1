"""Models: one file a family, all behind the contract of `dhm.models.base.Model`."""
