/** A session of painting: changes in, frames of the latest canvas out, over a WebSocket. */

import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { failureOf } from "./errors.js";
import {
  CanvasProblem,
  PaintRequestSchema,
  type PaintResponse,
  PaintResponseSchema,
  type PaintStartSchema,
} from "./gen/maskweave/v1/synthesis_pb.js";
import { type Frame, GeneratedImage } from "./images.js";
import {
  type Ids,
  type Loaded,
  loaded,
  loadedIds,
  loadedSketch,
  type Sketch,
  type Stroke,
  strokeOf,
  type Styles,
  stylesOf,
} from "./requests.js";

export type { Stroke };

/** A change of the canvas or of what is made of it. What is left out stays as it is. */
export interface PaintUpdate {
  strokes?: Stroke[];
  /** Another canvas in place of the one there is, of its kind and size. */
  labelMap?: Ids;
  sketch?: Sketch;
  scribble?: Ids;
  seed?: number;
  styleStrength?: number;
  styles?: Styles;
}

/** A `PaintUpdate` in which no file has to be read first. */
export type PaintChange = { [K in keyof PaintUpdate]: Loaded<PaintUpdate[K]> };

/** A WebSocket cannot be told to wait: of frames that nobody reads, the oldest are dropped, and counted as dropped. */
const MOST_UNREAD = 16;

interface Opening {
  timeoutMs: number;
  signal?: AbortSignal;
  apiKey?: string;
  WebSocket: typeof globalThis.WebSocket | undefined;
}

/**
 * A session of painting: iterate over it for the frames. They are always of the latest canvas, so that there may be
 * fewer of them than updates.
 */
export class PaintSession implements AsyncIterable<Frame> {
  private readonly frames: Frame[] = [];
  private waiting: (() => void) | undefined;
  private ended = false;
  private failure: unknown;
  private sequence = 0;

  private constructor(private readonly socket: WebSocket) {}

  /** @internal */
  static async open(url: string, start: MessageInitShape<typeof PaintStartSchema>, opening: Opening): Promise<PaintSession> {
    if (!opening.WebSocket) throw new TypeError("this runtime has no WebSocket: give the client one, new Client(url, { WebSocket })");
    const protocols = ["maskweave.v1", ...(opening.apiKey ? [`bearer.${base64url(opening.apiKey)}`] : [])];
    const socket = new opening.WebSocket(`${url.replace(/^http/, "ws")}/maskweave.v1.SynthesisService/Paint`, protocols);
    socket.binaryType = "arraybuffer";
    const session = new PaintSession(socket);
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(failureOf(new ConnectError("the session did not open in time", Code.DeadlineExceeded)));
      const timer = setTimeout(late, opening.timeoutMs);
      socket.onopen = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.onclose = socket.onerror = () => {
        clearTimeout(timer);
        reject(failureOf(new ConnectError("the session cannot be opened: nobody answers, or the key or the origin is refused", Code.Unavailable)));
      };
      opening.signal?.addEventListener("abort", () => session.abort(opening.signal!.reason, reject), { once: true });
    }).catch((error: unknown) => {
      session.close();
      throw error;
    });
    socket.onerror = null;
    socket.onmessage = ({ data }) => session.take(data as string | ArrayBuffer);
    socket.onclose = () => session.end(failureOf(new ConnectError("the connection was lost", Code.Unavailable)));
    session.send({ case: "start", value: start });
    return session;
  }

  /** Draws a line; gives the number of the update, which frames that have it carry as `sequence`, or a higher one. */
  stroke(stroke: Stroke): number {
    return this.change({ strokes: [stroke] });
  }

  /** Changes anything for which no file has to be read first, at once; gives the number of the update. */
  change({ strokes, labelMap, sketch, scribble, seed, styleStrength, styles }: PaintChange): number {
    this.sequence += 1;
    this.send({
      case: "update",
      value: {
        sequence: BigInt(this.sequence),
        change: labelMap
          ? { case: "labelMap", value: loadedIds(labelMap) }
          : sketch
            ? { case: "sketch", value: loadedSketch(sketch) }
            : scribble
              ? { case: "scribble", value: loadedIds(scribble) }
              : strokes
                ? { case: "strokes", value: { strokes: strokes.map(strokeOf) } }
                : { case: undefined },
        start: seed === undefined ? { case: undefined } : { case: "seed", value: seed },
        styleStrength,
        styles: styles && { styles: stylesOf(styles) },
      },
    });
    return this.sequence;
  }

  /** Bytes of changes that have not left yet. While there are many, put further ones together instead. */
  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** Changes anything, once its files have been read. */
  async update({ labelMap, sketch, scribble, ...others }: PaintUpdate): Promise<number> {
    return this.change({
      ...others,
      labelMap: labelMap && (await loaded(labelMap)),
      sketch: sketch && (await loaded(sketch)),
      scribble: scribble && (await loaded(scribble)),
    });
  }

  /** No more updates: the frames end with that of the last one. */
  finish(): void {
    if (!this.ended) this.socket.send("end");
  }

  /** Gives the session up; the frames end. */
  close(): void {
    this.end(undefined);
    this.socket.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, undefined> {
    try {
      for (;;) {
        const frame = this.frames.shift();
        if (frame) yield frame;
        else if (this.ended) break;
        else await new Promise<void>((resolve) => (this.waiting = resolve));
      }
      if (this.failure !== undefined) throw this.failure;
    } finally {
      this.close();
    }
  }

  private send(request: NonNullable<MessageInitShape<typeof PaintRequestSchema>["request"]>): void {
    if (this.ended) throw this.failure ?? new Error("the session has ended");
    this.socket.send(toBinary(PaintRequestSchema, create(PaintRequestSchema, { request })) as Uint8Array<ArrayBuffer>);
  }

  private take(data: string | ArrayBuffer): void {
    if (typeof data === "string") this.end(endOf(data));
    else this.keep(frameOf(fromBinary(PaintResponseSchema, new Uint8Array(data))));
    this.waiting?.();
  }

  private keep(frame: Frame): void {
    this.frames.push(frame);
    if (this.frames.length <= MOST_UNREAD) return;
    const [oldest, next] = this.frames as [Frame, Frame];
    next.droppedFrames += oldest.droppedFrames + 1;
    this.frames.shift();
  }

  private abort(reason: unknown, reject: (reason: unknown) => void): void {
    reject(reason);
    this.end(reason);
    this.socket.close();
  }

  private end(failure: unknown): void {
    if (this.ended) return;
    this.ended = true;
    this.failure = failure;
    this.waiting?.();
  }
}

function frameOf(message: PaintResponse): Frame {
  const { sequence, droppedFrames, image, problem, modelVersion, timings } = message;
  return {
    sequence: Number(sequence),
    droppedFrames,
    image: image && new GeneratedImage(image),
    problem: problem === CanvasProblem.UNSPECIFIED ? undefined : (PROBLEMS[problem] ?? "unknown"),
    modelVersion,
    timings,
  };
}

const PROBLEMS: Partial<Record<CanvasProblem, Frame["problem"]>> = {
  [CanvasProblem.EMPTY]: "empty",
  [CanvasProblem.TOO_MUCH_INK]: "too_much_ink",
};

interface EndOfStream {
  error?: { code?: string; message?: string; details?: { type?: string; value?: string }[] };
}

/** What the end of Connect's streams says, as JSON; undefined if all went well. */
function endOf(text: string): unknown {
  let error: EndOfStream["error"];
  try {
    ({ error } = JSON.parse(text) as EndOfStream);
  } catch {
    return failureOf(new ConnectError("the end of the session cannot be read", Code.Internal));
  }
  if (!error) return undefined;
  const name = (error.code ?? "unknown").replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const known = new ConnectError(error.message ?? "", Code[name as keyof typeof Code] ?? Code.Unknown);
  known.details = (error.details ?? []).map(({ type = "", value = "" }) => ({
    type,
    value: Uint8Array.from(atob(value.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0)),
  }));
  return failureOf(known);
}

function base64url(text: string): string {
  const letters = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
