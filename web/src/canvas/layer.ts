/** A drawing with its colours, its history and whoever shows it. */

import { signal, type Signal } from "@preact/signals";
import { Bitmap, EMPTY, union, type Line, type Rect } from "./bitmap";

/** Bytes of drawings that undo keeps, so that an hour of painting takes no more memory than a minute. */
const HISTORY_BYTES = 12 << 20;

export interface Ink {
  id: number;
  name: string;
  title: string;
  color: string;
}

/** What has happened to a drawing: lines that were added, or anything else. */
export type Change = { lines: Line[] } | "all";

export class Layer {
  readonly undoable = signal(0);
  readonly redoable = signal(0);
  /** What is drawn with. */
  readonly ink: Signal<number>;
  private past: Bitmap[] = [];
  private future: Bitmap[] = [];
  private readonly watchers = new Set<(rect: Rect) => void>();

  /**
   * @param inks what can be drawn with
   * @param erased the id of a pixel on which nothing is
   * @param colors of every id, as `#rrggbb`
   */
  constructor(
    public bitmap: Bitmap,
    readonly inks: Ink[],
    readonly erased: number,
    readonly colors: (id: number) => string,
    readonly changed: (change: Change) => void,
  ) {
    // The first class is what lies behind everything else.
    this.ink = signal((inks[1] ?? inks[0])?.id ?? 0);
  }

  watch(watcher: (rect: Rect) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Remembers the drawing as it is, before it is changed. */
  remember(): void {
    this.past.push(this.bitmap.clone());
    const most = Math.max(4, Math.floor(HISTORY_BYTES / this.bitmap.ids.length));
    if (this.past.length > most) this.past.shift();
    this.future = [];
    this.count();
  }

  /** Takes back the last `remember`, since nothing came of it. */
  forget(): void {
    this.past.pop();
    this.count();
  }

  draw(lines: Line[]): void {
    let rect = EMPTY;
    for (const line of lines) rect = union(rect, this.bitmap.draw(line));
    this.show(rect);
    this.changed({ lines });
  }

  /** Puts a drawing in the place of this one; `undoable` unless it is a preview. */
  replace(bitmap: Bitmap, undoable = true): void {
    if (undoable) this.remember();
    this.bitmap = bitmap;
    this.show(bitmap.all);
    this.changed("all");
  }

  undo(): void {
    this.step(this.past, this.future);
  }

  redo(): void {
    this.step(this.future, this.past);
  }

  private step(from: Bitmap[], to: Bitmap[]): void {
    const bitmap = from.pop();
    if (!bitmap) return;
    to.push(this.bitmap);
    this.bitmap = bitmap;
    this.count();
    this.show(bitmap.all);
    this.changed("all");
  }

  private show(rect: Rect): void {
    for (const watcher of this.watchers) watcher(rect);
  }

  private count(): void {
    this.undoable.value = this.past.length;
    this.redoable.value = this.future.length;
  }
}

/** The colours of all ids as pixels of an ImageData. */
export function pixelsOf(colors: (id: number) => string): Uint32Array {
  const bytes = new Uint8Array(256 * 4);
  for (let id = 0; id < 256; id++) {
    const number = parseInt(colors(id).slice(1), 16);
    bytes.set([number >> 16, (number >> 8) & 255, number & 255, 255], id * 4);
  }
  return new Uint32Array(bytes.buffer);
}
