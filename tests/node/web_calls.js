// Calls a gateway as pages do, with Connect's own client for browsers, and tells by lines of JSON what came.
//
// Usage: node web_calls.js URL DESCRIPTORS, with a serialised google.protobuf.FileDescriptorSet of the contract.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const { createFileRegistry, fromBinary } = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const { createConnectTransport, createGrpcWebTransport } = require("@connectrpc/connect-web");

const [url, descriptors] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fs.readFileSync(descriptors)));
const service = registry.getService("maskweave.v1.SynthesisService");

const raw = { width: 2, height: 2, data: Uint8Array.of(0, 1, 2, 0) };
const labelMap = { encoding: { case: "raw", value: raw } };
const start = { case: "seed", value: 7 };
const imageFormat = 4; // raw
const digest = (image) => crypto.createHash("sha256").update(image.data).digest("hex");

async function calls(transport) {
  const client = createClient(service, transport);
  const told = {};
  told.models = (await client.listModels({})).models.map((model) => model.name);
  const condition = { case: "labelMap", value: labelMap };
  const request = { model: "faces64", condition, start, imageFormat, numberOfImages: 3 };
  told.synthesize = (await client.synthesize(request)).images.map(digest);
  told.stream = [];
  for await (const reply of client.synthesizeStream(request)) told.stream[reply.index] = digest(reply.image);
  const edit = { model: "faces64", source: start, targetLabelMap: labelMap, imageFormat };
  told.edit = digest((await client.edit(edit)).image);
  try {
    await client.synthesize({ ...request, styleStrength: 7 });
  } catch (caught) {
    const error = ConnectError.from(caught);
    const info = registry.getMessage("google.rpc.ErrorInfo");
    told.failure = [Code[error.code], error.rawMessage, error.findDetails(info).map((each) => each.reason)];
    told.requestId = error.metadata.get("x-request-id") !== null;
  }
  const slow = { ...request, model: "slow", start: { case: "latents", value: { latents: [{ values: [500] }] } } };
  try {
    await client.synthesize({ ...slow, numberOfImages: 1 }, { timeoutMs: 50 });
  } catch (caught) {
    told.late = Code[ConnectError.from(caught).code];
  }
  return told;
}

async function main() {
  const options = { baseUrl: url };
  const transports = {
    connect: createConnectTransport({ ...options, useBinaryFormat: true }),
    json: createConnectTransport({ ...options, useBinaryFormat: false }),
    grpcWeb: createGrpcWebTransport({ ...options, useBinaryFormat: true }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    console.log(JSON.stringify({ name, ...(await calls(transport)) }));
  }
}

main();
