"""What does `qanalysis app` hand to streamlit?

The server takes `app` from here, and each visit runs the file as a script.
"""

from streamlit import App

from qanalysis.dashboard.main import run_dashboard
from qanalysis.dashboard.server import list_routes

if __name__ == "__main__":
    run_dashboard()
else:
    app = App(__file__, routes=list_routes())
