"""Parts that the pages share: the project, pictures on a page, components, charts."""
