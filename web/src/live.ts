/**
 * Keeps the image up to what is drawn: the latest drawing wins.
 *
 * Drawings are painted through a session of Paint, in which only what changes is sent. Exemplars, on which nothing is
 * drawn, are asked for one request at a time, always of what there is by then; so are drawings where no WebSocket
 * comes through.
 */

import { durationMs } from "@bufbuild/protobuf/wkt";
import { effect, signal, untracked } from "@preact/signals";
import type { Frame, PaintSession } from "maskweave-client";
import { apiKey, client } from "./api/client";
import { failureOf, NO_MODEL, SLOW, type Failure } from "./api/failures";
import type { Change } from "./canvas/layer";
import { record } from "./latency";
import { refreshModels } from "./models";
import { conditionNow, drawingOf, editNow, fastFormat, NothingDrawn, paintChange, paintRequest, type Pending } from "./request";
import { show } from "./screen";
import { edited, exemplar, failure, layer, looks, model, onDrawing, seed, strength, tab } from "./state";

/** `settled`: the image shows what is drawn. */
export const status = signal<"connecting" | "busy" | "slow" | "settled" | "waiting">("connecting");
/** What is missing for an image, in words; empty when nothing is. */
export const missing = signal("");

/** What one update of Paint may hold; beyond, the whole drawing is sent. */
const MOST_LINES = 48;
const MOST_POINTS = 3000;
/** Bytes that may wait in the browser before further changes are held back and put together. */
const MOST_WAITING = 1 << 16;
/** Some mice tell of a thousand moves a second: so far apart are updates at least. */
const GAP_MILLISECONDS = 5;
const MOST_BACKOFF = 6;

const OPENING_MILLISECONDS = 5000;
/** How long what is asked for may take before the page says so, and before it is given up. */
const SLOW_MILLISECONDS = 2500;
const LOST_MILLISECONDS = 40_000;

/** So many sockets that did not open, though the gateway answers, are taken for a network that lets none through. */
const CLOSED_SOCKETS = 2;
/** How long none is tried then; twice as long each time. */
const FIRST_WITHOUT_MILLISECONDS = 60_000;

const nothingPending = (): Pending => ({ lines: [], seed: false, strength: false, styles: false });

let opening: AbortController | null = null;
let session: PaintSession | null = null;
let pending = nothingPending();
/** When each update that no frame has answered was made by hand. */
let unanswered: { sequence: number; at: number }[] = [];
let since = 0;
let sent = 0;
let soon: ReturnType<typeof setTimeout> | undefined;

let request: AbortController | null = null;
let changedMeanwhile = false;

let failures = 0;
let closedSockets = 0;
let withoutSocketsUntil = 0;
let withoutSockets = FIRST_WITHOUT_MILLISECONDS;
let timer: ReturnType<typeof setTimeout> | undefined;
let patience: ReturnType<typeof setTimeout> | undefined;
let refreshing: AbortController | null = null;
/** The version of a model that has been asked about, whatever came of it. */
let askedAbout = "";
let paused = false;

const paints = () => tab.peek() !== "exemplar" && performance.now() >= withoutSocketsUntil;

/** Begins anew, with what there is now. */
export function restart(): void {
  stop();
  if (!model.peek()) return;
  since = performance.now();
  status.value = "connecting";
  if (!paints()) return ask();
  if (!layer.peek() || (tab.peek() === "edit" && !edited.peek())) return;
  void paint();
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
  clearTimeout(timer);
  clearTimeout(patience);
  clearTimeout(soon);
  opening?.abort();
  opening = null;
  session?.close();
  session = null;
  request?.abort();
  request = null;
  refreshing?.abort();
  refreshing = null;
  unanswered = [];
}

/** One session, from its beginning to its end. */
async function paint(): Promise<void> {
  const mine = (opening = new AbortController());
  // What changes while it opens is sent once more: drawn twice it is the same drawing.
  pending = nothingPending();
  unanswered = [];
  beginToWait();
  let opened: PaintSession;
  try {
    opened = await client.peek().paint(model.peek()!.name, untracked(paintRequest), { signal: mine.signal, timeoutMs: OPENING_MILLISECONDS });
  } catch (error) {
    if (opening !== mine) return;
    opening = null;
    return void notOpened(failureOf(error));
  }
  if (opening !== mine) return opened.close();
  opening = null;
  session = opened;
  closedSockets = 0;
  withoutSockets = FIRST_WITHOUT_MILLISECONDS;
  status.value = "busy";
  flush();
  let why: Failure | null = null;
  try {
    for await (const frame of opened) if (session === opened) framed(frame);
  } catch (error) {
    why = failureOf(error);
  }
  if (session !== opened) return;
  session = null;
  clearTimeout(patience);
  // The service ends a session in which nothing happens; the next stroke begins another.
  if (!why || why.idle) status.value = "settled";
  else failed(why);
}

/** A socket does not open where the gateway is away, and where something on the way lets none through. */
async function notOpened(why: Failure): Promise<void> {
  if (why.remedy !== "retry") return failed(why);
  const known = await refreshed();
  if (!known) return;
  if (!known.changed && ++closedSockets >= CLOSED_SOCKETS) {
    closedSockets = CLOSED_SOCKETS - 1; // the next that does not open is enough
    withoutSocketsUntil = performance.now() + withoutSockets;
    withoutSockets *= 2;
  }
  restart();
}

/** Asks for the models again; null when that fails, which is then said and tried again, or when it is out of date. */
async function refreshed(): Promise<{ changed: boolean } | null> {
  const mine = (refreshing = new AbortController());
  try {
    const known = await refreshModels(mine.signal);
    // Where the present model has changed, what follows the page's state has begun anew by now.
    if (refreshing !== mine) return null;
    refreshing = null;
    if (known.any) return known;
    failed(NO_MODEL);
  } catch (error) {
    if (refreshing !== mine) return null;
    refreshing = null;
    failed(failureOf(error));
  }
  return null;
}

/** Says so when what is asked for takes long, and gives it up when it takes too long. */
function beginToWait(): void {
  clearTimeout(patience);
  patience = setTimeout(() => {
    if (status.peek() === "busy") status.value = "slow";
    failure.value ??= SLOW;
    patience = setTimeout(() => {
      stop();
      failed({ ...failureOf(null), text: "The gateway took too long. Trying again." });
    }, LOST_MILLISECONDS - SLOW_MILLISECONDS);
  }, SLOW_MILLISECONDS);
}

function answered(): void {
  clearTimeout(patience);
  failures = 0;
  failure.value = null;
}

function framed(frame: Frame): void {
  answered();
  missing.value = problemOf(frame.problem);
  if (frame.image) void show(frame.image, frame.modelVersion, frame.timings);
  const now = performance.now();
  const took = frame.timings?.total ? durationMs(frame.timings.total) : 0;
  for (const update of unanswered)
    if (update.sequence <= frame.sequence && frame.image) record({ total: now - update.at, service: took });
  unanswered = unanswered.filter((update) => update.sequence > frame.sequence);
  if (unanswered.length) beginToWait();
  flush();
  status.value = unanswered.length || hasChanged() ? "busy" : "settled";
  checkVersion(frame.modelVersion);
}

/** A model may have been replaced while nobody drew: then the page knows an older one. */
function checkVersion(version: string): void {
  const of = model.peek();
  if (!of || !version || version === of.version || askedAbout === `${of.name} ${version}`) return;
  askedAbout = `${of.name} ${version}`;
  // Beside the painting, which goes on.
  refreshModels().catch(() => (askedAbout = ""));
}

function problemOf(problem: Frame["problem"]): string {
  if (problem === "empty") return tab.peek() === "sketch" ? "Draw a line to begin." : "Draw a stroke to begin.";
  if (problem === "too_much_ink") return "Too much is dark: a sketch is dark lines on a light ground.";
  return "";
}

function failed(why: Failure): void {
  failures++;
  unanswered = [];
  clearTimeout(patience);
  status.value = "waiting";
  // The first time it may be over before anybody can read it.
  if (failures > 1 || why.remedy !== "retry" || (why.retryMilliseconds ?? 0) > 500) failure.value = why;
  if (why.unknown) return void refreshModels().catch(() => undefined);
  if (why.remedy !== "retry") return;
  const wait = failures === 1 ? 100 : (why.retryMilliseconds ?? 1000) * Math.min(MOST_BACKOFF, failures) * 0.5;
  clearTimeout(timer);
  timer = setTimeout(() => void comeBack(), wait);
}

/** Begins anew after a failure. By now the gateway may be another one. */
async function comeBack(): Promise<void> {
  const known = await refreshed();
  if (known) restart();
}

/** Says that something has changed. `at`: when, by the browser's clock. */
function changed(what: Partial<Pending>, at = performance.now()): void {
  if (paused) return;
  since = at;
  if (!paints()) {
    if (request) changedMeanwhile = true;
    else if (status.peek() !== "waiting" || failure.peek()?.remedy === "stop") restart();
    return;
  }
  if (what.lines === null) pending.lines = null;
  else if (what.lines) pending.lines?.push(...what.lines);
  pending.seed ||= !!what.seed;
  pending.strength ||= !!what.strength;
  pending.styles ||= !!what.styles;
  if (session) {
    if (status.peek() === "settled") status.value = "busy";
    flush();
  } else if (!opening && (status.peek() !== "waiting" || failure.peek()?.remedy === "stop")) restart();
}

const hasChanged = () => pending.lines === null || pending.lines.length > 0 || pending.seed || pending.strength || pending.styles;

function flush(): void {
  const lines = pending.lines;
  if (!hasChanged() || !session || session.bufferedBytes > MOST_WAITING) return;
  const early = sent + GAP_MILLISECONDS - performance.now();
  clearTimeout(soon);
  if (early > 0) return void (soon = setTimeout(flush, early));
  sent = performance.now();
  if (lines && (lines.length > MOST_LINES || lines.reduce((sum, line) => sum + line.points.length, 0) > MOST_POINTS))
    pending.lines = null;
  const change = paintChange(pending);
  pending = nothingPending();
  if (!unanswered.length) beginToWait();
  if (status.peek() !== "slow") status.value = "busy";
  unanswered.push({ sequence: session.change(change), at: since });
}

/** Asks for one image, and again for as long as things have changed meanwhile. */
function ask(): void {
  const mine = new AbortController();
  request = mine;
  changedMeanwhile = false;
  const at = since;
  const of = model.peek()!;
  const format = fastFormat(of);
  const asked = async () => {
    const options = { signal: mine.signal };
    if (tab.peek() === "edit") return client.peek().edit(of.name, { ...untracked(editNow), format }, options);
    return client.peek().draw(of.name, { ...untracked(() => drawingOf(conditionNow())), format }, options);
  };
  beginToWait();
  status.value = "busy";
  asked().then(
    async ({ images: [image], modelVersion, timings }) => {
      if (request !== mine) return;
      answered();
      missing.value = "";
      if (image) await show(image, modelVersion, timings);
      if (request !== mine) return;
      record({ total: performance.now() - at, service: timings?.total ? durationMs(timings.total) : 0 });
      request = null;
      checkVersion(modelVersion);
      if (changedMeanwhile) restart();
      else status.value = "settled";
    },
    (error: unknown) => {
      if (request !== mine) return;
      request = null;
      clearTimeout(patience);
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
  const again = () => {
    if (status.peek() !== "waiting" || failure.peek()?.remedy === "stop" || failure.peek()?.remedy === "key") return;
    clearTimeout(timer);
    void comeBack();
  };
  window.addEventListener("online", again);
  document.addEventListener("visibilitychange", () => !document.hidden && again());
}

/** When what is being drawn was done by hand: the time of the event that is being handled, if there is one. */
function drawnAt(): number {
  const stamp = window.event?.timeStamp;
  return stamp && stamp <= performance.now() ? stamp : performance.now();
}
