"""EV Ingestion Engine: the HTTP service and the command line around the database in db/."""

from importlib.metadata import version

__version__ = version("ev-engine")
