"""The gateway: rpc, synthesis, scheduling, engine and codecs, core; each imports only what is below it."""
