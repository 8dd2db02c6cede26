"""Training of ``mini``: a small perceptual encoder taught by VGG19."""
