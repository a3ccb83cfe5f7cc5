"""The tasks over HTTP, WebSocket and Server-Sent Events: one blueprint."""
