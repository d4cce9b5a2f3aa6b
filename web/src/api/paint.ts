/** One session of Paint over a WebSocket: messages of the contract in, messages of the contract out. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  PaintRequestSchema,
  PaintResponseSchema,
  type PaintRequest,
  type PaintResponse,
} from "../gen/maskweave/v1/synthesis_pb";
import { apiKey, baseUrl } from "./client";

/** Bytes that may wait in the browser before further changes are held back and put together. */
const MOST_WAITING = 1 << 16;

export class PaintSocket {
  opened = false;
  private readonly socket: WebSocket;
  private ended = false;

  constructor(
    readonly onOpen: () => void,
    readonly onFrame: (frame: PaintResponse) => void,
    readonly onEnd: (error: ConnectError | null) => void,
  ) {
    const protocols = ["maskweave.v1"];
    if (apiKey.value) protocols.push(`bearer.${base64url(apiKey.value)}`);
    const url = `${baseUrl.replace(/^http/, "ws")}/maskweave.v1.SynthesisService/Paint`;
    this.socket = new WebSocket(url, protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.opened = true;
      if (!this.ended) onOpen();
    };
    this.socket.onmessage = ({ data }) => {
      if (this.ended) return;
      if (typeof data === "string") this.end(endOf(data));
      else onFrame(fromBinary(PaintResponseSchema, new Uint8Array(data)));
    };
    this.socket.onclose = () => this.end(new ConnectError("the connection was lost", Code.Unavailable));
  }

  get congested(): boolean {
    return this.socket.bufferedAmount > MOST_WAITING;
  }

  send(request: PaintRequest["request"]): void {
    if (this.socket.readyState === WebSocket.OPEN)
      this.socket.send(toBinary(PaintRequestSchema, create(PaintRequestSchema, { request })));
  }

  /** Gives the session up; nothing is heard of it any more. */
  close(): void {
    this.ended = true;
    this.socket.close();
  }

  private end(error: ConnectError | null): void {
    if (this.ended) return;
    this.close();
    this.onEnd(error);
  }
}

interface EndOfStream {
  error?: { code?: string; message?: string; details?: { type?: string; value?: string; debug?: unknown }[] };
}

/** Connect's end of a stream, from JSON. */
function endOf(text: string): ConnectError | null {
  let error: EndOfStream["error"];
  try {
    error = (JSON.parse(text) as EndOfStream).error;
  } catch {
    return new ConnectError("the end of the session cannot be read", Code.Internal);
  }
  if (!error) return null;
  const pascal = (error.code ?? "unknown").replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
  const known = new ConnectError(error.message ?? "", Code[pascal as keyof typeof Code] ?? Code.Unknown);
  known.details = (error.details ?? []).map((detail) => ({
    type: detail.type ?? "",
    value: Uint8Array.from(atob(padded(detail.value ?? "")), (letter) => letter.charCodeAt(0)),
  }));
  return known;
}

function padded(text: string): string {
  return text.replace(/-/g, "+").replace(/_/g, "/") + "=".repeat((4 - (text.length % 4)) % 4);
}

function base64url(text: string): string {
  const letters = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
