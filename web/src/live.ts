/**
 * Keeps the image up to what is drawn: the latest drawing wins.
 *
 * Drawings are painted through a session of Paint, in which only what changes is sent. Exemplars, on which nothing is
 * drawn, are asked for one request at a time, always of what there is by then; so are drawings where no WebSocket
 * comes through.
 */

import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { effect, signal, untracked } from "@preact/signals";
import { apiKey, service } from "./api/client";
import { failureOf, type Failure } from "./api/failures";
import { PaintSocket } from "./api/paint";
import type { Change } from "./canvas/layer";
import { CanvasProblem, EditRequestSchema, SynthesizeRequestSchema, type PaintResponse } from "./gen/maskweave/v1/synthesis_pb";
import { record } from "./latency";
import {
  conditionNow,
  editRequest,
  fastFormat,
  NothingDrawn,
  paintStart,
  paintUpdate,
  synthesizeRequest,
  type Pending,
} from "./request";
import { show } from "./screen";
import { edited, exemplar, failure, layer, looks, model, onDrawing, seed, strength, tab } from "./state";

/** `settled`: the image shows what is drawn. */
export const status = signal<"connecting" | "busy" | "settled" | "waiting">("connecting");
/** What is missing for an image, in words; empty when nothing is. */
export const missing = signal("");

/** What one update of Paint may hold; beyond, the whole drawing is sent. */
const MOST_LINES = 48;
const MOST_POINTS = 3000;
/** A socket that never opened this often is taken for one that cannot. */
const CLOSED_SOCKETS = 3;
const MOST_BACKOFF = 6;

const nothingPending = (): Pending => ({ lines: [], seed: false, strength: false, styles: false });

let socket: PaintSocket | null = null;
let opened = false;
let sequence = 0;
let pending = nothingPending();
/** When each update that no frame has answered was made by hand. */
let unanswered: { sequence: number; at: number }[] = [];
let since = 0;

let request: AbortController | null = null;
let changedMeanwhile = false;

let failures = 0;
let socketsThatNeverOpened = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let paused = false;

const paints = () => tab.peek() !== "exemplar" && socketsThatNeverOpened < CLOSED_SOCKETS;

/** Begins anew, with what there is now. */
export function restart(): void {
  clearTimeout(timer);
  stop();
  if (!model.peek()) return;
  since = performance.now();
  status.value = "connecting";
  if (!paints()) return ask();
  if (!layer.peek() || (tab.peek() === "edit" && !edited.peek())) return;
  pending = nothingPending();
  socket = new PaintSocket(begun, framed, ended);
}

/** Holds still, for something else to be shown. */
export function pause(): void {
  paused = true;
  stop();
}

export function resume(): void {
  if (!paused) return;
  paused = false;
  restart();
}

function stop(): void {
  socket?.close();
  socket = null;
  opened = false;
  request?.abort();
  request = null;
  unanswered = [];
}

function begun(): void {
  opened = true;
  socketsThatNeverOpened = 0;
  sequence = 0;
  pending = nothingPending();
  unanswered = [];
  status.value = "busy";
  socket!.send({ case: "start", value: paintStart() });
}

function framed(frame: PaintResponse): void {
  failures = 0;
  failure.value = null;
  const answered = Number(frame.sequence);
  missing.value = problemOf(frame.problem);
  if (frame.image) void show(frame.image, frame.modelVersion, frame.timings);
  const now = performance.now();
  const took = frame.timings?.total ? durationMs(frame.timings.total) : 0;
  for (const update of unanswered)
    if (update.sequence <= answered && frame.image) record({ total: now - update.at, service: took });
  unanswered = unanswered.filter((update) => update.sequence > answered);
  flush();
  if (!unanswered.length) status.value = "settled";
}

function problemOf(problem: CanvasProblem): string {
  if (problem === CanvasProblem.EMPTY) return tab.peek() === "sketch" ? "Draw a line to begin." : "Draw a stroke to begin.";
  if (problem === CanvasProblem.TOO_MUCH_INK) return "Too much is dark: a sketch is dark lines on a light ground.";
  return "";
}

function ended(error: unknown): void {
  if (!opened) socketsThatNeverOpened++;
  socket = null;
  opened = false;
  // The service ends a session in which nothing happens; the next stroke begins another.
  const why = error ? failureOf(error) : null;
  if (!why || why.idle) return void (status.value = "settled");
  failed(why);
}

function failed(why: Failure): void {
  failures++;
  unanswered = [];
  status.value = "waiting";
  // The first time it may be over before anybody can read it.
  if (failures > 1 || why.remedy !== "retry" || (why.retryMilliseconds ?? 0) > 500) failure.value = why;
  if (why.remedy !== "retry") return;
  const wait = failures === 1 ? 100 : (why.retryMilliseconds ?? 1000) * Math.min(MOST_BACKOFF, failures) * 0.5;
  clearTimeout(timer);
  timer = setTimeout(restart, wait);
}

/** Says that something has changed. `at`: when, by the browser's clock. */
function changed(what: Partial<Pending>, at = performance.now()): void {
  if (paused) return;
  since = at;
  if (!paints()) {
    if (request) changedMeanwhile = true;
    else restart();
    return;
  }
  if (what.lines === null) pending.lines = null;
  else if (what.lines) pending.lines?.push(...what.lines);
  pending.seed ||= !!what.seed;
  pending.strength ||= !!what.strength;
  pending.styles ||= !!what.styles;
  if (!socket && status.peek() !== "waiting") restart();
  else if (failure.peek()?.remedy === "stop") restart();
  else flush();
}

function flush(): void {
  const lines = pending.lines;
  const something = lines === null || lines.length || pending.seed || pending.strength || pending.styles;
  if (!something || !opened || !socket || socket.congested) return;
  if (lines && (lines.length > MOST_LINES || lines.reduce((sum, line) => sum + line.points.length, 0) > MOST_POINTS))
    pending.lines = null;
  sequence++;
  unanswered.push({ sequence, at: since });
  status.value = "busy";
  socket.send({ case: "update", value: paintUpdate(sequence, pending) });
  pending = nothingPending();
}

/** Asks for one image, and again for as long as things have changed meanwhile. */
function ask(): void {
  const mine = new AbortController();
  request = mine;
  changedMeanwhile = false;
  const at = since;
  const format = fastFormat(model.peek()!);
  const asked = async () => {
    if (tab.peek() === "edit") {
      const edit = create(EditRequestSchema, { ...untracked(editRequest), imageFormat: format });
      return service.edit(edit, { signal: mine.signal });
    }
    const wanted = untracked(() => synthesizeRequest(conditionNow()));
    const reply = await service.synthesize(
      create(SynthesizeRequestSchema, { ...wanted, imageFormat: format }),
      { signal: mine.signal },
    );
    return { image: reply.images[0], modelVersion: reply.modelVersion, timings: reply.timings };
  };
  status.value = "busy";
  asked().then(
    async ({ image, modelVersion, timings }) => {
      if (request !== mine) return;
      missing.value = "";
      failures = 0;
      failure.value = null;
      if (image) await show(image, modelVersion, timings);
      record({ total: performance.now() - at, service: timings?.total ? durationMs(timings.total) : 0 });
      request = null;
      if (changedMeanwhile) ask();
      else status.value = "settled";
    },
    (error: unknown) => {
      if (request !== mine) return;
      request = null;
      if (error instanceof NothingDrawn) {
        missing.value = error.message;
        status.value = "settled";
      } else failed(failureOf(error));
    },
  );
}

/** Follows the page's state. */
export function follow(): void {
  effect(() => {
    void [model.value, tab.value, layer.value, apiKey.value, exemplar.value, edited.value];
    failures = 0;
    missing.value = "";
    failure.value = null;
    if (!paused) untracked(restart);
  });
  onDrawing((on: typeof tab.value, change: Change) => {
    if (on === tab.peek()) changed({ lines: change === "all" ? null : change.lines }, drawnAt());
  });
  const follows = (what: Partial<Pending>, read: () => unknown) => {
    let first = true;
    effect(() => {
      read();
      if (!first) untracked(() => changed(what));
      first = false;
    });
  };
  follows({ seed: true }, () => seed.value);
  follows({ strength: true }, () => strength.value);
  follows({ styles: true }, () => looks.value);
  window.addEventListener("online", () => status.peek() === "waiting" && restart());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && status.peek() === "waiting" && failure.peek()?.remedy === "retry") restart();
  });
}

/** When what is being drawn was done by hand: the time of the event that is being handled, if there is one. */
function drawnAt(): number {
  const stamp = window.event?.timeStamp;
  return stamp && stamp <= performance.now() ? stamp : performance.now();
}
