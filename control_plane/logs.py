"""Logs of the control plane: one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer

WITHOUT_LOCALS: Final = ExceptionDictTransformer(show_locals=False)
"""Local variables hold keys and tokens; a traceback shows where something broke, not with what."""


def configure_logs() -> None:
    """Render structlog's events as JSON lines with time and level."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(WITHOUT_LOCALS),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
