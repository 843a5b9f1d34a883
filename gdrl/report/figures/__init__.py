"""Geometry and data URIs for the page; the templates turn them into SVG and HTML."""
