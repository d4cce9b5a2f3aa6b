"""The client for asyncio. `_sync/` is generated from this package: see `client/generate_sync.py`."""
