"""mosec: a worker process a core behind its Rust front.

https://mosecorg.github.io/mosec/
"""

from mosec import Server, Worker
from mosec.mixin import MsgpackMixin
from pipeline import Pipeline, workers


class Draw(MsgpackMixin, Worker):
    def __init__(self):
        self.pipeline = Pipeline()
        self.resp_mime_type = "image/png"

    def forward(self, data):
        return self.pipeline.image(data["label_map"], data["seed"])

    def serialize(self, data):
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Draw, num=workers(), timeout=30)
    server.run()
