"""atelier: a reproducible bench for image style transfer."""
