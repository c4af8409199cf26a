"""Steps of affine operations and relus: their form, growth at infinity, and all their roots."""
