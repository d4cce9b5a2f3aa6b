// What the client for TypeScript does beside its README: failures, retries, aborts, keys. Tells each as a line of JSON.
//
// Usage: node typescript_client.mjs URL KEY, of a gateway that asks for the key
import http from "node:http";
import { Client, InvalidRequest, Overloaded, Unauthenticated, Unavailable } from "maskweave-client";

const [url, apiKey] = process.argv.slice(2);
const tell = (name, value) => console.log(JSON.stringify({ name, value }));
const thrownBy = async (promise) => promise.then(() => null, (error) => error);

const labelMap = { width: 2, height: 2, data: Uint8Array.of(0, 1, 2, 0) };
const client = new Client(`${url}/`, { apiKey });

const refused = await thrownBy(client.draw("faces64", { labelMap, styleStrength: 7 }, { requestId: "mine" }));
tell("refused", [refused instanceof InvalidRequest, refused.reason, refused.violations[0]?.field, refused.requestId]);
tell("keyless", (await thrownBy(new Client(url).models())) instanceof Unauthenticated);

const left = new AbortController();
const aborting = thrownBy(client.draw("faces64", { labelMap }, { signal: left.signal }));
left.abort(new Error("left the page"));
tell("aborted", (await aborting).message);
tell("unreachable", (await thrownBy(new Client("http://127.0.0.1:1", { timeoutMs: 400 }).models())) instanceof Unavailable);

const many = { labelMap, seed: 1, numberOfImages: 8 };
for await (const { index } of client.drawStream("faces64", many)) {
  tell("left early", index < 8); // whichever is ready first
  break; // cancels the rest
}

const session = await client.paint("faces64", { labelMap, seed: 1, format: "raw" });
const number = session.stroke({ classId: 3, width: 1, points: [[0, 0], [1, 1]] });
session.finish();
const frames = [];
for await (const frame of session) frames.push([frame.sequence, frame.image.data.length]);
tell("painted", [number, frames.at(-1)]);
const wrong = await client.paint("faces64", { labelMap, seed: 1 });
wrong.stroke({ classId: 200, width: 1, points: [[0, 0]] });
const told = await thrownBy((async () => { for await (const frame of wrong) void frame; })());
tell("painting refused", [told instanceof InvalidRequest, told.violations[0]?.field]);
const drawn = await client.draw("faces64", { labelMap, seed: 1, seeds: undefined, numberOfImages: 2 });
tell("drawn", drawn.images.map(({ seed, format, width }) => [seed, format, width]));

// A service that never answers.
const silent = http.createServer(() => {});
await new Promise((resolve) => silent.listen(0, "127.0.0.1", resolve));
tell("late", (await thrownBy(new Client(`http://127.0.0.1:${silent.address().port}`).draw("faces64", { labelMap }, { timeoutMs: 50 }))).name);
silent.close();
silent.closeAllConnections();

// A service that is busy twice and says when to come back.
const retryInfo = Buffer.from([10, 4, 16, 0xc0, 0x84, 0x3d]).toString("base64"); // RetryInfo { retry_delay { nanos: 1000000 } }
let calls = 0;
const busy = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    calls += 1;
    if (calls % 3 !== 0) {
      response.writeHead(429, { "content-type": "application/json" });
      const details = [{ type: "google.rpc.RetryInfo", value: retryInfo }];
      response.end(JSON.stringify({ code: "resource_exhausted", message: "busy", details }));
      return;
    }
    response.writeHead(200, { "content-type": "application/proto" });
    response.end();
  });
});
await new Promise((resolve) => busy.listen(0, "127.0.0.1", resolve));
const there = `http://127.0.0.1:${busy.address().port}`;
tell("patient", [(await new Client(there).draw("faces64", { labelMap })).images.length, calls]);
calls = 0;
const once = await thrownBy(new Client(there, { retry: false }).draw("faces64", { labelMap }));
tell("once", [once instanceof Overloaded, once.retryAfterMs, calls]);
busy.close();
busy.closeAllConnections();
