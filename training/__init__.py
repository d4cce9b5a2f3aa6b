"""Training of Maskweave's networks in PyTorch; nothing that serves imports it.

`cli` holds the commands, `evaluation` measures packs. The two methods are `groupdnet` and `sis_ug`. Both use
`runs` (steps, distribution, checkpoints, metrics), `data`, `conditions` (sketches, scribbles), `generators`
(frozen ones, and readers of their checkpoints), `networks` and `config`. Imports go in this order only.
`packs` holds what is trained: a folder a pack, with its configuration and weights.
"""
