"""Latency benchmark of Maskweave services, and of anything else that speaks `maskweave.v1`.

It needs no service on the machine it runs on: `pip install 'maskweave-client[bench]'`, then
`maskweave-bench --help`; where the package `maskweave` is installed too, `maskweave bench` is the same
command.

The parts, each usable by itself:

- `schedule`: when requests are due. `loops`: open and closed loop, on any clock.
- `scenario`, `inputs`, `strokes`, `messages`, `requests`, `calls`: what is asked, and the calls that ask it.
- `processes`, `trials`, `session`: client processes, and the order in which targets and loads take turns.
- `samples`, `histogram`, `steady`, `stalls`, `stages`, `summary`: what came of it.
- `knee`, `bootstrap`, `compare`: what follows from it.
- `results`, `environment`, `metrics_page`, `report`: what is kept and shown.
"""
