"""Training of ``mini``, the small perceptual encoder taught by VGG19, and its benchmarks."""
