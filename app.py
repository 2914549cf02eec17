"""Run the dashboard from a checkout: `streamlit run app.py`."""

from qanalysis.dashboard.main import run_dashboard

run_dashboard()
