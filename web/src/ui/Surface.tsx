/** The drawing that people draw on: with a mouse, a pen, fingers or the keyboard. */

import { useComputed, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Line, Point, Rect } from "../canvas/bitmap";
import { pixelsOf, type Layer } from "../canvas/layer";
import { watchScreen } from "../screen";
import { tab } from "../state";
import { brush, middle, mirror, moveTo, opacity, tool, zoom, zoomTo } from "./tools";

/** Points are sent as floats: in sixteenths of a pixel they are the same on both sides. */
const FRACTION = 16;
const KEYBOARD_STEP = 0.02;

export function Surface({ layer, label }: { layer: Layer; label: string }) {
  const view = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const drawing = useRef<HTMLCanvasElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const ring = useRef<HTMLDivElement>(null);
  const guide = useRef<SVGLineElement>(null);
  const { width, height } = layer.bitmap;

  useEffect(() => watchScreen((pixels) => paintOn(below.current!, pixels)), []);

  useEffect(() => {
    const context = drawing.current!.getContext("2d", { alpha: false, desynchronized: false })!;
    const colors = pixelsOf(layer.colors);
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const render = ({ left, top, right, bottom }: Rect) => {
      if (right <= left || bottom <= top) return;
      const { ids } = layer.bitmap;
      for (let y = top; y < bottom; y++)
        for (let x = left; x < right; x++) pixels[y * width + x] = colors[ids[y * width + x]!]!;
      context.putImageData(image, 0, 0, left, top, right - left, bottom - top);
    };
    render(layer.bitmap.all);
    return layer.watch(render);
  }, [layer, width, height]);

  useEffect(() => {
    const pointers = new Pointers(layer, view.current!, ring.current!, guide.current!);
    return pointers.listen();
  }, [layer]);

  useSignalEffect(() => {
    const { x, y } = middle.value;
    const shift = (part: number) => `${(0.5 - part) * 100 * zoom.value}%`;
    stage.current!.style.transform = `translate(${shift(x)}, ${shift(y)}) scale(${zoom.value})`;
    drawing.current!.style.opacity = String(tab.value === "exemplar" ? 1 : opacity.value);
    ring.current!.style.width = `${brushOf(layer).width / width * 100}%`;
  });

  const pixelated = useComputed(() => (zoom.value > 2 ? "drawing pixelated" : "drawing"));
  return (
    <div
      ref={view}
      class="surface"
      tabIndex={0}
      role="application"
      aria-roledescription="drawing"
      aria-label={label}
      style={{ aspectRatio: `${width} / ${height}` }}
    >
      <div ref={stage} class="stage">
        <canvas ref={below} class="below" width={1} height={1} aria-hidden="true" />
        <canvas ref={drawing} class={pixelated} width={width} height={height} data-testid="drawing" aria-hidden="true" />
        <svg class="guide" viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
          <line ref={guide} class="hidden-line" />
        </svg>
        <div ref={ring} class="ring" hidden />
      </div>
    </div>
  );
}

export function paintOn(canvas: HTMLCanvasElement, pixels: ImageData): void {
  if (canvas.width !== pixels.width || canvas.height !== pixels.height) {
    canvas.width = pixels.width;
    canvas.height = pixels.height;
  }
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
}

function brushOf(layer: Layer, erases = tool.value === "eraser"): { id: number; width: number } {
  const side = Math.min(layer.bitmap.width, layer.bitmap.height);
  return {
    id: erases ? layer.erased : layer.ink.value,
    width: Math.max(1, Math.round((brush.value * side) / 100)),
  };
}

class Pointers {
  private readonly down = new Map<number, { x: number; y: number }>();
  private last: Point | null = null;
  private first: Point | null = null;
  /** Where the keyboard's brush is, 0 to 1 each way. */
  private cursor: Point = { x: 0.5, y: 0.5 };
  private pinch: { distance: number; zoom: number } | null = null;
  private panning = false;
  private erases = false;

  constructor(
    readonly layer: Layer,
    readonly view: HTMLElement,
    readonly ring: HTMLElement,
    readonly guide: SVGLineElement,
  ) {}

  listen(): () => void {
    const { view } = this;
    const off = new AbortController();
    const on = <K extends keyof HTMLElementEventMap>(kind: K, handler: (event: HTMLElementEventMap[K]) => void) =>
      view.addEventListener(kind, handler, { signal: off.signal, passive: false });
    on("pointerdown", (event) => this.press(event));
    // Moves wait for the next frame of the screen; raw ones, which not every browser has, come at once.
    const moves = "onpointerrawupdate" in view ? "pointerrawupdate" : "pointermove";
    on(moves as "pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.release(event));
    on("pointerleave", () => (this.ring.hidden = true));
    on("keydown", (event) => this.key(event));
    on("blur", () => (this.ring.hidden = true));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => {
      if (!event.ctrlKey && zoom.peek() === 1) return;
      event.preventDefault();
      if (event.ctrlKey) zoomTo(zoom.peek() * Math.exp(-event.deltaY / 200), this.part(event));
      else moveTo(middle.peek().x + event.deltaX / 600 / zoom.peek(), middle.peek().y + event.deltaY / 600 / zoom.peek());
    });
    return () => off.abort();
  }

  /** Where on the drawing an event is, 0 to 1 each way. */
  private part(event: { clientX: number; clientY: number }): Point {
    const box = this.view.getBoundingClientRect();
    const { x, y } = middle.peek();
    return {
      x: x + ((event.clientX - box.left) / box.width - 0.5) / zoom.peek(),
      y: y + ((event.clientY - box.top) / box.height - 0.5) / zoom.peek(),
    };
  }

  private pixel({ x, y }: Point): Point {
    const round = (value: number) => Math.round(value * FRACTION) / FRACTION;
    return { x: round(x * this.layer.bitmap.width), y: round(y * this.layer.bitmap.height) };
  }

  private press(event: PointerEvent): void {
    this.view.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.down.size === 2) return this.beginPinch();
    if (this.down.size > 2) return;
    this.panning = event.button === 1 || event.altKey;
    if (this.panning) return;
    this.begin(this.pixel(this.part(event)), event.button === 2);
  }

  private move(event: PointerEvent): void {
    this.showRing(this.part(event), event.pointerType !== "touch");
    const from = this.down.get(event.pointerId);
    if (!from) return;
    this.down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pinch || this.panning) return this.moveView(event, from);
    const events = event.getCoalescedEvents?.() ?? [];
    this.extend((events.length ? events : [event]).map((each) => this.pixel(this.part(each))));
  }

  private release(event: PointerEvent): void {
    if (!this.down.delete(event.pointerId)) return;
    if (this.pinch) {
      if (!this.down.size) this.pinch = null;
      return;
    }
    if (event.type === "pointercancel") this.first = null;
    this.finish(this.pixel(this.part(event)));
  }

  /** Two fingers move the view; what the first has drawn by then was not meant. */
  private beginPinch(): void {
    if (this.last) {
      this.last = null;
      this.first = null;
      this.layer.undo();
    }
    const [a, b] = [...this.down.values()] as [Point, Point];
    this.pinch = { distance: Math.hypot(a.x - b.x, a.y - b.y), zoom: zoom.peek() };
  }

  private moveView(event: PointerEvent, from: { x: number; y: number }): void {
    const box = this.view.getBoundingClientRect();
    const fingers = Math.max(1, this.down.size);
    moveTo(
      middle.peek().x - (event.clientX - from.x) / fingers / box.width / zoom.peek(),
      middle.peek().y - (event.clientY - from.y) / fingers / box.height / zoom.peek(),
    );
    if (this.pinch && this.down.size === 2) {
      const [a, b] = [...this.down.values()] as [Point, Point];
      const around = this.part({ clientX: (a.x + b.x) / 2, clientY: (a.y + b.y) / 2 });
      zoomTo((this.pinch.zoom * Math.hypot(a.x - b.x, a.y - b.y)) / this.pinch.distance, around);
    }
  }

  private begin(at: Point, erase: boolean): void {
    const { layer } = this;
    this.erases = erase;
    if (tool.peek() === "fill") {
      const filled = layer.bitmap.clone();
      const { id } = this.brush();
      let any = filled.fill(Math.floor(at.x), Math.floor(at.y), id);
      if (mirror.peek()) any = filled.fill(Math.floor(filled.width - at.x), Math.floor(at.y), id) || any;
      if (any) layer.replace(filled);
      return;
    }
    layer.remember();
    this.first = this.last = at;
    if (tool.peek() !== "line") layer.draw(this.lines([at]));
  }

  private extend(points: Point[]): void {
    if (!this.last) return;
    if (tool.peek() === "line") return this.showGuide(this.first, points[points.length - 1]!);
    const moved = points.filter((point, i) => {
      const before = i ? points[i - 1]! : this.last!;
      return point.x !== before.x || point.y !== before.y;
    });
    if (!moved.length) return;
    this.layer.draw(this.lines([this.last, ...moved]));
    this.last = moved[moved.length - 1]!;
  }

  private finish(at: Point): void {
    if (this.last && tool.peek() === "line") {
      if (this.first) this.layer.draw(this.lines([this.first, at]));
      else this.layer.forget();
    }
    this.first = this.last = null;
    this.showGuide(null, at);
  }

  /** Shows where the line would be. */
  private showGuide(from: Point | null, to: Point): void {
    this.guide.classList.toggle("hidden-line", !from);
    if (!from) return;
    const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y, "stroke-width": this.brush().width };
    for (const [name, value] of Object.entries(ends)) this.guide.setAttribute(name, String(value));
  }

  private brush(): { id: number; width: number } {
    return brushOf(this.layer, this.erases || tool.peek() === "eraser");
  }

  /** A line, and its mirror image if there is to be one. */
  private lines(points: Point[]): Line[] {
    const line: Line = { ...this.brush(), points };
    if (!mirror.peek()) return [line];
    return [line, { ...line, points: points.map(({ x, y }) => ({ x: this.layer.bitmap.width - x, y })) }];
  }

  private key(event: KeyboardEvent): void {
    const step = (event.shiftKey ? 4 : 1) * KEYBOARD_STEP;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const by = moves[event.key];
    const draws = event.key === " " || event.key === "Enter";
    if ((!by && !draws) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (by) {
      const inside = (value: number) => Math.min(1, Math.max(0, value));
      this.cursor = { x: inside(this.cursor.x + by[0]), y: inside(this.cursor.y + by[1]) };
    } else {
      if (event.repeat) return;
      this.begin(this.pixel(this.cursor), false);
      this.finish(this.pixel(this.cursor));
    }
    this.showRing(this.cursor, true);
  }

  private showRing(at: Point, visible: boolean): void {
    this.ring.hidden = !visible || tool.peek() === "fill";
    this.ring.style.left = `${at.x * 100}%`;
    this.ring.style.top = `${at.y * 100}%`;
  }
}
