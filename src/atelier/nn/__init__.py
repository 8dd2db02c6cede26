"""Layers, losses and pretrained networks that two or more methods share."""
