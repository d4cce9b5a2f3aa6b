// Two sessions of Paint by grpc-js, each on a connection of its own that is pinged every 10 s.
//
// One says nothing after it began, until the gateway ends it; the other goes on after a pause and then ends. What
// became of each is printed as one line of JSON.
//
//     node idle_session.js ADDRESS PROTO_FOLDER PAUSE_SECONDS
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, protos, pauseSeconds] = process.argv.slice(2);
const options = {
  "grpc.keepalive_time_ms": 10000,
  "grpc.keepalive_timeout_ms": 5000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
};

const definition = loader.loadSync("maskweave/v1/synthesis.proto", {
  includeDirs: [protos],
  keepCase: true,
  defaults: true,
});
const { SynthesisService } = grpc.loadPackageDefinition(definition).maskweave.v1;

function session(name, afterFirstFrame) {
  const client = new SynthesisService(address, grpc.credentials.createInsecure(), options);
  const call = client.Paint();
  const began = process.hrtime.bigint();
  const frames = [];
  let details = "";
  call.on("data", (frame) => {
    frames.push(Number(frame.sequence));
    if (frames.length === 1) afterFirstFrame(call);
  });
  call.on("error", (error) => {
    details = error.details;
  });
  call.on("status", (status) => {
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    console.log(JSON.stringify({ name, code: grpc.status[status.code], details, frames, seconds }));
    client.close();
  });
  const raw = { data: Buffer.alloc(64 * 64), width: 64, height: 64 };
  call.write({ start: { model: "faces64", label_map: { raw }, seed: 1 } });
}

session("silent", () => {});
session("pausing", (call) => {
  setTimeout(() => {
    call.write({ update: { sequence: 1, seed: 2 } });
    call.end();
  }, Number(pauseSeconds) * 1000);
});
