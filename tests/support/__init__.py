"""What tests share: a running sidecar, callers that sign like identity providers, pages that send like the widget."""
