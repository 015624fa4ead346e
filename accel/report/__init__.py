"""What people read: tables in plain text and Markdown."""

from accel.report.tables import Table, format_bytes, format_seconds

__all__ = ["Table", "format_bytes", "format_seconds"]
