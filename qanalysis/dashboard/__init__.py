"""The pages in a browser; the only package, with `app.py`, that imports streamlit."""
