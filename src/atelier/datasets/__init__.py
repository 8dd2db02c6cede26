"""Download, import and preparation of pictures; the embedded sample."""
