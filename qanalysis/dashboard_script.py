"""What `qanalysis app` hands to streamlit. It stands here because streamlit would take a folder `pages` beside its script for pages of its own."""

from qanalysis.dashboard.main import run_dashboard

if __name__ == "__main__":
    run_dashboard()
