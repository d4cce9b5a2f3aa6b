"""The gateway: rpc, synthesis, engine and codecs, core; each imports only what is below it."""
