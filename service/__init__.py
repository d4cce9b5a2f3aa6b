"""The gateway: app, rpc, synthesis and access, engine and codecs, core; each imports only what is below."""
