/** PNGs that browsers do not read or write as they are needed: palettes whose values are ids, and colours without transparency. */

import { Bitmap } from "./bitmap";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const COLOURS = 2;
const INDEXED = 3;

/** A file that cannot be read; the message is for people. */
export class FileError extends Error {}

/** What a palette or greyscale PNG holds. */
export interface PngValues {
  bitmap: Bitmap;
  /** The colours by value as `#rrggbb`; empty for greys. */
  palette: string[];
}

/** A palette PNG whose pixels are the ids. */
export async function writePng(bitmap: Bitmap, colors: (id: number) => string): Promise<Uint8Array<ArrayBuffer>> {
  const { width, height, ids } = bitmap;
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(ids.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  let most = 0;
  for (const id of ids) most = Math.max(most, id);
  const palette = new Uint8Array((most + 1) * 3);
  for (let id = 0; id <= most; id++) {
    const number = parseInt(colors(id).slice(1), 16);
    palette.set([number >> 16, (number >> 8) & 255, number & 255], id * 3);
  }
  return png(width, height, INDEXED, rows, chunk("PLTE", palette));
}

/** An RGB PNG, which the service takes; what browsers write of a canvas has an alpha channel, which it refuses. */
export async function writeColours({ width, height, data }: ImageData): Promise<Uint8Array<ArrayBuffer>> {
  const rows = new Uint8Array((3 * width + 1) * height);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    to++; // no filter
    for (let x = 0; x < width; x++, from += 4) {
      rows[to++] = data[from]!;
      rows[to++] = data[from + 1]!;
      rows[to++] = data[from + 2]!;
    }
  }
  return png(width, height, COLOURS, rows);
}

async function png(width: number, height: number, kind: number, rows: Uint8Array<ArrayBuffer>, ...before: Uint8Array[]) {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, kind, 0, 0, 0], 8);
  const pixels = await through(rows, new CompressionStream("deflate"));
  return joined([Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...before, chunk("IDAT", pixels), chunk("IEND", new Uint8Array())]);
}

/**
 * The values of a palette or greyscale PNG, or null where the file is of another kind.
 *
 * @throws FileError the file is broken or too large
 */
export async function readPng(file: Uint8Array<ArrayBuffer>, maxPixels: number): Promise<PngValues | null> {
  if (!SIGNATURE.every((byte, i) => file[i] === byte)) return null;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let width = 0;
  let height = 0;
  let depth = 0;
  const palette: string[] = [];
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 8; at + 12 <= file.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const body = file.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      depth = body[8]!;
      const plain = (body[9] === INDEXED || body[9] === GREY) && body[12] === 0 && depth <= 8;
      if (!plain) return null;
      if (width * height > maxPixels) throw new FileError(`The file has ${width} × ${height} pixels, which is too large.`);
    } else if (kind === "PLTE") {
      for (let i = 0; i + 2 < body.length; i += 3) palette.push(hex(body[i]!, body[i + 1]!, body[i + 2]!));
    } else if (kind === "IDAT") parts.push(body);
    else if (kind === "IEND") break;
    at += 12 + length;
  }
  const stride = Math.ceil((width * depth) / 8);
  let rows: Uint8Array;
  try {
    rows = await through(joined(parts), new DecompressionStream("deflate"), (stride + 1) * height);
  } catch {
    throw new FileError("The PNG file is broken.");
  }
  if (rows.length < (stride + 1) * height) throw new FileError("The PNG file is cut off.");
  unfilter(rows, stride, height);
  const bitmap = new Bitmap(width, height);
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y++) {
    const row = y * (stride + 1) + 1;
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      bitmap.ids[y * width + x] = (rows[row + (bit >> 3)]! >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return { bitmap, palette };
}

export function hex(red: number, green: number, blue: number): string {
  return `#${((1 << 24) | (red << 16) | (green << 8) | blue).toString(16).slice(1)}`;
}

function unfilter(rows: Uint8Array, stride: number, height: number): void {
  for (let y = 0; y < height; y++) {
    const at = y * (stride + 1) + 1;
    const filter = rows[at - 1]!;
    for (let x = 0; x < stride; x++) {
      const left = x ? rows[at + x - 1]! : 0;
      const up = y ? rows[at + x - stride - 1]! : 0;
      const corner = x && y ? rows[at + x - stride - 2]! : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else if (filter === 4) guess = paeth(left, up, corner);
      rows[at + x] = rows[at + x]! + guess;
    }
  }
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function chunk(kind: string, body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i++) out[4 + i] = kind.charCodeAt(i);
  out.set(body, 8);
  view.setUint32(body.length + 8, crc(out.subarray(4, body.length + 8)));
  return out;
}

function crc(bytes: Uint8Array): number {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return ~value >>> 0;
}

/** Bytes through a compressor or a decompressor; at most so many come out. */
export async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
  most = Infinity,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return joined(parts);
    parts.push(value as Uint8Array<ArrayBuffer>);
    length += value.length;
    if (length > most) {
      await reader.cancel();
      throw new FileError("The file holds more than it says.");
    }
  }
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
