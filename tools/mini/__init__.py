"""Training of ``mini``, the small perceptual encoder distilled from VGG19, and its benchmarks."""
