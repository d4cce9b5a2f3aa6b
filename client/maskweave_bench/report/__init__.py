"""Results as people read them: a page of HTML, and Markdown."""
