"""Networks, and modules that return distributions: x -> q(z|x), z -> p(x|z), (x, z) -> p(y|x,z)."""
