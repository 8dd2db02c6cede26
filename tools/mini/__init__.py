r"""What made \`\`mini\`\`, the small perceptual encoder taught by VGG19, and what measured it."""
