/** A drawing: one byte per pixel, a class id (label maps, scribbles) or a grey (sketches). */

export interface Rect {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Line {
  id: number;
  width: number;
  points: Point[];
}

export class Bitmap {
  readonly ids: Uint8Array<ArrayBuffer>;

  constructor(
    readonly width: number,
    readonly height: number,
    ids?: Uint8Array<ArrayBuffer>,
  ) {
    this.ids = ids ?? new Uint8Array(width * height);
  }

  get all(): Rect {
    return { left: 0, top: 0, right: this.width, bottom: this.height };
  }

  clone(): Bitmap {
    return new Bitmap(this.width, this.height, this.ids.slice());
  }

  /** Resized by nearest neighbour, as the service does it. */
  resized(width: number, height: number): Bitmap {
    if (width === this.width && height === this.height) return this.clone();
    const out = new Bitmap(width, height);
    for (let y = 0; y < height; y++) {
      const row = Math.floor(((y + 0.5) * this.height) / height) * this.width;
      for (let x = 0; x < width; x++) {
        out.ids[y * width + x] = this.ids[row + Math.floor(((x + 0.5) * this.width) / width)]!;
      }
    }
    return out;
  }

  /** Draws a line exactly as `Stroke` of the contract says, and returns what it may have changed. */
  draw(line: Line): Rect {
    const points = line.points;
    const radius = line.width / 2;
    let touched = EMPTY;
    for (let i = 0; i < Math.max(1, points.length - 1); i++) {
      const from = points[i]!;
      const to = points[Math.min(i + 1, points.length - 1)]!;
      touched = union(touched, this.segment(from, to, radius, line.id));
    }
    for (const { x, y } of points) {
      if (x >= 0 && x < this.width && y >= 0 && y < this.height) {
        this.ids[Math.floor(y) * this.width + Math.floor(x)] = line.id;
        touched = union(touched, { left: Math.floor(x), top: Math.floor(y), right: Math.floor(x) + 1, bottom: Math.floor(y) + 1 });
      }
    }
    return touched;
  }

  private segment(from: Point, to: Point, radius: number, id: number): Rect {
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
    const right = Math.min(this.width, Math.ceil(Math.max(from.x, to.x) + radius));
    const bottom = Math.min(this.height, Math.ceil(Math.max(from.y, to.y) + radius));
    if (right <= left || bottom <= top) return EMPTY;
    const dx = to.x - from.x;
    const dy = to.y - from.y;
    const length = dx * dx + dy * dy;
    const reach = radius * radius;
    for (let row = top; row < bottom; row++) {
      const y = row + (0.5 - from.y);
      for (let column = left; column < right; column++) {
        const x = column + (0.5 - from.x);
        const along = length ? Math.min(1, Math.max(0, (x * dx + y * dy) / length)) : 0;
        const far = (x - along * dx) ** 2 + (y - along * dy) ** 2;
        if (far <= reach) this.ids[row * this.width + column] = id;
      }
    }
    return { left, top, right, bottom };
  }

  /** Gives the connected area of one id around a pixel another id. */
  fill(x: number, y: number, id: number): boolean {
    const { width, height, ids } = this;
    if (x < 0 || y < 0 || x >= width || y >= height) return false;
    const was = ids[y * width + x]!;
    if (was === id) return false;
    const stack = [y * width + x];
    while (stack.length) {
      const start = stack.pop()!;
      if (ids[start] !== was) continue;
      const row = start - (start % width);
      let left = start;
      let right = start;
      while (left > row && ids[left - 1] === was) left--;
      while (right < row + width - 1 && ids[right + 1] === was) right++;
      for (let i = left; i <= right; i++) {
        ids[i] = id;
        if (i >= width && ids[i - width] === was) stack.push(i - width);
        if (i < width * (height - 1) && ids[i + width] === was) stack.push(i + width);
      }
    }
    return true;
  }
}

export const EMPTY: Rect = { left: 0, top: 0, right: 0, bottom: 0 };

export function union(a: Rect, b: Rect): Rect {
  if (a.right <= a.left) return b;
  if (b.right <= b.left) return a;
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}
